"""Every sentence that a person reads, as pure functions of data.

"Passcode (PIN)" the first time, "passcode" afterwards; short active sentences that say what happened, what it means and
what to do next; no blame. Dates are written in words without any locale. The contact is added wherever a message
ends at a person. Nothing here prints, asks or decides. Sentences that are compared or kept (reasons) are in English,
and in the person's language once they are in a `Message`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType

from renewagent import errors
from renewagent.agent.times_in_words import date_in_words, dates_in_words, left_in_words, moment_in_words, time_in_words
from renewagent.agent.tries_in_words import tries, tries_for_passcode
from renewagent.errors import RenewAgentError
from renewagent.language import N_, _, ngettext, tag
from renewagent.model import CardIdentity, Finding, Verdict
from renewagent.rules import Campaign, Contact

NOT_SIGNED_IN = N_("The smartcard is renewed, but you have not signed in with it yet.")
"""The reason of a finding: of its renewal, only the person's part is left."""
OLD_LEFT = N_("The smartcard is renewed, but its old certificate is still on it beside the new one.")
"""The reason of a finding: way C was cut off at its very end, at another computer."""
RA_LOOKS_AT_IT = N_("The Registration Authority is looking at the request to renew this smartcard.")
"""The reason of a finding: the RA is waited for."""
RA_IS_READY = N_("The Registration Authority has looked at the request to renew this smartcard.")
"""The reason of a finding: it was waited for, and may be asked now."""
NO_ROOM = N_(
    "Your Registration Authority can make room on the smartcard. "
    "Then run: renewagent renew. It goes on from there, on any computer."
)
"""What to do where a card turned out to be full after its renewal had begun."""
NOT_FINISHED = N_("Renewal is not finished. You cannot sign prescriptions with this smartcard yet.")
NOTHING_CHANGED = N_("Nothing was changed on the smartcard.")
NOT_FINISHED_TITLE = N_("Renewal is not finished")
ONE_STEP_LEFT = N_("One step is left")
_SAFETY = N_("Do not sign prescriptions with this smartcard until you renew it.")


@dataclass(frozen=True, slots=True)
class Message:
    """What a person is told. `actions` are button texts, the first meaning yes; `code` is for the small print.

    `kind` is a stable name of the state, for scripts and tests; people never see it.
    """

    kind: str
    title: str
    body: str
    advice: str = ""
    code: str = ""
    actions: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Everything as plain text, one paragraph per line."""
        small = f"({self.code})" if self.code else ""
        return "\n".join(part for part in (self.title, self.body, self.advice, small) if part)


def contact_in_words(contact: Contact) -> str:
    """`Contact: Registration Authority, 0300 ..., https://..., weekdays 9 to 5.`; empty if nothing is known."""
    parts = [part for part in (contact.name, contact.phone, contact.url, contact.hours) if part]
    return _("Contact: {contact}.").format(contact=", ".join(parts)) if parts else ""


def card_in_words(card: CardIdentity | None) -> str:
    """`the smartcard ending 4821`, where it stands like a name."""
    return of_card(card, _("the smartcard ending {ending}"), _("the smartcard"))


def of_card(card: CardIdentity | None, named: str, nameless: str) -> str:
    """`Renew the smartcard ending 4821`, or `Renew the smartcard`: a whole sentence each."""
    return named.format(ending=card.ending) if card else nameless


def _join(*sentences: str) -> str:
    return " ".join(sentence for sentence in sentences if sentence)


# --- what was found -------------------------------------------------------------------------------------------------


def affected(campaign: Campaign, rule: str | None = None, *, by_hand: bool = True) -> Message:
    """An affected card: what is wrong, and the remedy of the campaign. `by_hand`: name the command to type."""
    reason = reason_of(campaign) or _reason_from_rule(campaign, rule)
    if campaign.remedy == "replace-card":
        title = _("Replace your smartcard")
        return Message("replace-card", title, _join(reason, _(_NO_SIGNING)), _see_ra(campaign.contact))
    if campaign.remedy == "see-ra":
        title = _("See your Registration Authority")
        return Message("see-ra", title, _join(reason, _(_NO_SIGNING)), _see_ra(campaign.contact))
    deadline = _("Renew it by {date}.").format(date=date_in_words(campaign.deadline)) if campaign.deadline else ""
    body = _join(reason, _(_SAFETY), deadline, _("It takes about 3 minutes."))
    advice = _join(_run(by_hand), contact_in_words(campaign.contact))
    return Message(
        "affected", _("Renew your smartcard"), body, advice, actions=(_("Renew now"), _("Remind me in 1 hour"))
    )


def _run(by_hand: bool) -> str:
    return _("Run: renewagent renew.") if by_hand else ""  # not beside a button that does it


_NO_SIGNING = N_("Do not sign prescriptions with this smartcard.")


def _go_on() -> tuple[str, str]:
    return _("Continue"), _("Not now")


def reason_of(campaign: Campaign) -> str:
    """Its own, in the person's language or the nearest to it (RFC 4647, 3.4); in English where it has neither."""
    wanted = tag()
    while wanted and wanted not in campaign.reason:
        wanted = wanted.rpartition("-")[0]
    return campaign.reason.get(wanted) or _(campaign.reason.get("en", ""))


def _reason_from_rule(campaign: Campaign, rule: str | None) -> str:
    hit = next((r for r in campaign.rules if r.name == rule), None)
    dates = dates_in_words(hit.issued_from, hit.issued_to) if hit else ""
    if not dates:
        return _("There is a problem with its certificate.")
    return _("There is a problem with certificates issued {dates}.").format(dates=dates)


def _see_ra(contact: Contact) -> str:
    return _join(_("Only your Registration Authority can do this, in person."), contact_in_words(contact))


def not_affected(checked: datetime, now: datetime) -> Message:
    """No pop-up for this one; it stands in `status`."""
    return Message(
        "not-affected", _("This smartcard is OK"), _("Checked {when}.").format(when=time_in_words(checked, now))
    )


def part_way(contact: Contact, *, by_hand: bool = True) -> Message:
    """A renewal of this card was begun, here or at another computer."""
    body = _(NOT_FINISHED)
    advice = _join(_("You can finish it on any computer."), _run(by_hand), contact_in_words(contact))
    return Message("part-way", _("Finish renewing your smartcard"), body, advice, actions=_go_on())


def _part_way(reason: str, contact: Contact, by_hand: bool) -> Message:
    if reason == NOT_SIGNED_IN:
        return replace(done_not_signed_in(None, contact, by_hand=by_hand), actions=_go_on())
    if reason == RA_LOOKS_AT_IT:
        body = _join(_(reason), _("You do not need to do anything. You will be told when it is ready."))
        return Message("waiting", _("Waiting for the Registration Authority"), body, contact_in_words(contact))
    if reason == RA_IS_READY:
        advice = _join(_run(by_hand), contact_in_words(contact))
        return Message("ra-ready", _("Finish renewing your smartcard"), _(reason), advice, actions=_go_on())
    if reason == OLD_LEFT:
        body = _join(_(reason), _("A program may sign with the old one, which is not valid any more."))
        advice = _join(_("To take it away, run: renewagent renew.") if by_hand else "", contact_in_words(contact))
        return Message("old-left", _(ONE_STEP_LEFT), body, advice, actions=_go_on())
    return part_way(contact, by_hand=by_hand)


def no_certificate(contact: Contact) -> Message:
    """A card without a signing certificate."""
    body = _("There is no signing certificate on this smartcard.")
    advice = _join(_("Check that this is the smartcard you sign prescriptions with."), contact_in_words(contact))
    return Message("no-certificate", _("This smartcard cannot sign"), body, advice)


def unreadable(reason: str, contact: Contact, code: str = "RA-CARD-DATA", advice: str = "") -> Message:
    """The card could not be read; `reason` says why in a full sentence, `advice` what to do if that is known."""
    usual = _("Take the smartcard out, put it back in and wait a few seconds.")
    what_next = _join(advice or usual, contact_in_words(contact))
    return Message("unreadable", _("This smartcard cannot be read"), reason, what_next, code)


def paused(contact: Contact) -> Message:
    """The card would be affected, but the campaign is paused. No pop-up: whoever has been told waits."""
    body = _("The Registration Authority has paused its notice about this smartcard. You will be told when it goes on.")
    return Message("paused", _("Nothing to do now"), body, contact_in_words(contact))


def not_judged() -> Message:
    """There is nothing to judge a card by: it must not be called good."""
    body = _("There is no notice from your Registration Authority on this computer to check it by.")
    return Message("not-judged", _("This smartcard was not checked"), body, _("Ask your IT support if this lasts."))


def revoked(contact: Contact) -> Message:
    """No rule hits the certificate, but the RA has revoked it."""
    body = _("The Registration Authority has revoked the certificate on this smartcard. You cannot sign with it.")
    advice = _join(_("Ask your Registration Authority."), contact_in_words(contact))
    return Message("revoked", _("This smartcard cannot sign"), body, advice)


def expired(not_after: datetime, contact: Contact) -> Message:
    """The certificate has run out: nothing that can be done here."""
    body = _("The certificate on this smartcard expired on {date}.").format(date=date_in_words(not_after))
    advice = _join(_("Only your Registration Authority can renew it, in person."), contact_in_words(contact))
    return Message("expired", _("This smartcard has expired"), body, advice)


def for_finding(
    finding: Finding,
    campaign: Campaign | None,
    checked: datetime,
    now: datetime,
    contact: Contact,
    *,
    judged: bool = True,
    by_hand: bool = True,
) -> Message:
    """The message for a finding. `contact` is the configuration's, used where the campaign names none; not `judged`:
    there was no campaign at all to judge by; `by_hand`: name the command to type."""
    whom = contact if campaign is None or not contact_in_words(campaign.contact) else campaign.contact
    if finding.verdict is Verdict.AFFECTED and campaign is not None:
        return affected(replace(campaign, contact=whom), finding.rule, by_hand=by_hand)
    if finding.verdict is Verdict.PART_WAY:
        return _part_way(finding.reason, whom, by_hand)
    if finding.verdict is Verdict.NO_CERTIFICATE:
        return no_certificate(whom)
    if finding.verdict is Verdict.UNREADABLE:
        return unreadable(finding.reason, whom)
    if finding.head is not None and finding.head.not_after < now:
        return expired(finding.head.not_after, whom)
    if finding.paused:
        return paused(whom)
    return not_affected(checked, now) if judged else not_judged()


# --- while renewing -------------------------------------------------------------------------------------------------


def before(card: CardIdentity | None, tries_left: int | None) -> Message:
    """Asked once before a renewal starts."""
    left = tries_for_passcode(tries_left) if tries_left is not None else ""
    body = _join(_("Keep your smartcard in the reader."), _("You will be asked for your passcode (PIN)."), left)
    title = of_card(card, _("Renew the smartcard ending {ending}"), _("Renew the smartcard"))
    return Message("before", title, body, actions=(_("Start renewal"), _("Not now")))


def pin_wanted(card: CardIdentity, tries_left: int | None) -> Message:
    """Above the field for the passcode."""
    left = tries(tries_left) if tries_left is not None else ""
    wanted = _("Type the passcode (PIN) of the smartcard ending {ending}.").format(ending=card.ending)
    return Message("pin", _("Passcode (PIN)"), _join(wanted, left))


def wrong_pin(tries_left: int) -> Message:
    """The card refused what was typed; more than one try is left, and the question follows again."""
    body = ngettext(
        "Your passcode was wrong. You have {number} try left.",
        "Your passcode was wrong. You have {number} tries left.",
        tries_left,
    )
    return Message("wrong-pin", _("Wrong passcode"), body.format(number=tries_left))


def pin_known_wrong() -> Message:
    """The person typed once more what the card has refused already: it is not sent again, and the question follows."""
    body = _("That is the passcode that did not work before. It was not tried again, and no try was used.")
    return Message("pin-known-wrong", _("Wrong passcode"), body)


def pin_impossible(error: RenewAgentError) -> Message:
    """What was typed cannot be a passcode of this card: it is not sent, and the question follows again."""
    return Message("pin-impossible", _("Not a passcode"), error.message, error.advice)


def running(step: int, of: int, text: str, seconds_left: float | None) -> str:
    """`Renewing. Keep the smartcard in. Step 2 of 4: making the new key. About 1 minute left.`"""
    return _join(_("Renewing. Keep the smartcard in."), step_in_words(step, of, text, seconds_left))


def step_in_words(step: int, of: int, text: str, seconds_left: float | None) -> str:
    """`Step 2 of 4: making the new key. About 1 minute left.`"""
    left = left_in_words(seconds_left) if seconds_left is not None else ""
    return _join(_("Step {step} of {of}: {text}.").format(step=step, of=of, text=text), left)


def pulled_unsafe(card: CardIdentity | None) -> Message:
    """The card went away after its key was replaced: it must be finished."""
    advice = _join(_back_in(card), _("You can do this on any computer."))
    return Message("pulled-unsafe", _(NOT_FINISHED_TITLE), _(NOT_FINISHED), advice, actions=(_("Continue"),))


def pulled_half_way(card: CardIdentity | None) -> Message:
    """The card went away in the middle, but its key is the one that it had: it can sign all the time."""
    return Message("pulled-half-way", _(NOT_FINISHED_TITLE), _("The smartcard was removed."), _back_in(card))


def _back_in(card: CardIdentity | None) -> str:
    named = _("Put the smartcard ending {ending} back in and continue.")
    return of_card(card, named, _("Put the smartcard back in and continue."))


def card_busy() -> Message:
    """Another program holds the card in the middle of a renewal."""
    body = _("Another program is using the smartcard. Close it. The renewal then goes on by itself.")
    return Message("card-busy", _("Another program is in the way"), body, _("Keep your smartcard in the reader."))


def insert_again(card: CardIdentity | None) -> Message:
    """The card is out; it is wanted back."""
    named = _("Insert the smartcard ending {ending} to sign in again.")
    body = of_card(card, named, _("Insert the smartcard to sign in again."))
    return Message("insert-again", _("Put your smartcard back in"), body)


def done(card: CardIdentity | None) -> Message:
    """The same card came back, its new certificate was read and it signed in."""
    named = _("You can sign prescriptions with the smartcard ending {ending}.")
    return Message("done", _("Done"), of_card(card, named, _("You can sign prescriptions with the smartcard.")))


def done_not_signed_in(card: CardIdentity | None, contact: Contact, *, by_hand: bool = True) -> Message:
    """Renewed, but nobody has signed in with it yet."""
    body = renewed_not_signed_in(card.ending if card else "")
    how = _("Before you sign prescriptions, sign in again.")
    if by_hand:
        how = _("Before you sign prescriptions, put it in, run: renewagent renew, and sign in again.")
    advice = _join(how, contact_in_words(contact))
    return Message("done-not-signed-in", _(ONE_STEP_LEFT), body, advice)


def renewed_not_signed_in(ending: str) -> str:
    """What is left of the card `ending` so; "" where nobody knows which."""
    named = _("The smartcard ending {ending} is renewed, but you have not signed in with it yet.")
    return named.format(ending=ending) if ending else _(NOT_SIGNED_IN)


def more_cards(renewed: int, of: int, following: CardIdentity | None) -> Message:
    """Several cards, one after the other."""
    so_far = ngettext("{renewed} of {of} smartcard renewed.", "{renewed} of {of} smartcards renewed.", of)
    next_one = of_card(following, _("Insert the smartcard ending {ending}."), _("Insert the next one."))
    return Message("more-cards", _("Next smartcard"), _join(so_far.format(renewed=renewed, of=of), next_one))


def wrong_card(seen: CardIdentity, wanted: CardIdentity) -> Message:
    """Another card than the one we wait for."""
    body = _("This is a different smartcard (ending {seen}). Insert the one ending {wanted}.")
    said = body.format(seen=seen.ending, wanted=wanted.ending)
    return Message("wrong-card", _("Another smartcard is needed"), said, code="RA-CARD-DIFFERENT")


# --- when something else is in the way --------------------------------------------------------------------------------


def waiting(until: datetime, now: datetime, contact: Contact) -> Message:
    """The RA says "come back later": it is asked again at `until`, which is in the person's own zone."""
    body = _("The Registration Authority has your request and is looking at it. You do not need to do anything.")
    after = _("You will be told when it is ready. We ask again {when}.").format(when=moment_in_words(until, now))
    title = _("Waiting for the Registration Authority")
    return Message("waiting", title, _join(body, after), contact_in_words(contact))


NOT_DONE = N_("That did not work")
_TITLES: Mapping[type[RenewAgentError], str] = MappingProxyType(
    {
        errors.PinBlocked: N_("Your smartcard is locked"),
        errors.LastPinTry: N_("Stop here"),
        errors.UnsupportedCard: N_("This smartcard cannot be used here"),
        errors.CardDataError: N_("This smartcard cannot be read"),
        errors.NoRoom: N_("The smartcard is full"),
        errors.CardRemoved: N_("The smartcard was removed"),
        errors.PersonStopped: N_("Nothing was renewed"),
        errors.ClockError: N_("This computer's clock is wrong"),
        errors.BatteryLow: N_("This computer's battery is low"),
        errors.RaUnreachable: N_("The renewal cannot go on now"),
        errors.NotYet: N_("Renew your smartcard later"),
        errors.RenewalImpossible: N_("This smartcard cannot be renewed here"),
    }
)


def for_error(error: RenewAgentError, contact: Contact) -> Message:
    """Any error of ours: its sentence, its advice, its code in the small print, and whom to ask."""
    title = _TITLES.get(type(error), NOT_DONE)
    return Message("error", _(title), error.message, advice_with_contact(error, contact), error.code)


def advice_with_contact(error: RenewAgentError, contact: Contact) -> str:
    """What to do next; and whom to ask, unless the person can mend it alone and now (put the card in, say)."""
    return error.advice if error.retry is errors.Retry.NOW else _join(error.advice, contact_in_words(contact))
