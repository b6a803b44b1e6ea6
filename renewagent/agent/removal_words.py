"""What a person is told before they take a renewed card out: what for, and what it does to their desktop."""

from __future__ import annotations

from renewagent.agent.removal import OnRemoval
from renewagent.agent.words import Message, of_card
from renewagent.language import N_, _
from renewagent.model import CardIdentity

_BEFORE_REMOVAL = {
    OnRemoval.LOCKS: N_("Removing the smartcard locks your screen: unlock it, then put the smartcard back in."),
    OnRemoval.SIGNS_OUT: N_(
        "Save your work first: removing the smartcard signs you out of this computer. Sign in to it again, and put "
        "the smartcard back in."
    ),
    OnRemoval.DISCONNECTS: N_(
        "Save your work first: removing the smartcard ends your connection to the remote computer. Connect again, "
        "and put the smartcard back in."
    ),
}


def sign_in_again(
    card: CardIdentity | None, *, removal_ends_session: bool, on_removal: OnRemoval = OnRemoval.UNKNOWN
) -> Message:
    """After pkiConf and receipt: the profile decides what removal is for (design section 4, "Sign in again"), and the
    desktop's own settings what it does besides."""
    if removal_ends_session:
        body = _("Your smartcard is renewed. Now remove it, put it back in and sign in again.")
        advice = _("Save your work first: removing the smartcard ends your session.")
    else:
        body = _(
            "Your smartcard is renewed. Now remove it and put it back in: your programs then use the new certificate."
        )
        advice = _("Removing the smartcard does not sign you out. Sign in again when you are asked for your passcode.")
    if on_removal in _BEFORE_REMOVAL:
        advice = _(_BEFORE_REMOVAL[on_removal])
    title = of_card(card, _("Remove the smartcard ending {ending}"), _("Remove the smartcard"))
    return Message("sign-in-again", title, body, advice)
