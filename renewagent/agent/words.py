"""Every sentence that a person reads, as pure functions of data.

"Passcode (PIN)" the first time, "passcode" afterwards; short active sentences that say what happened, what it means and
what to do next; no blame. Dates are written in words without any locale. The contact is added wherever a message
ends at a person. Nothing here prints, asks or decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType

from renewagent import errors
from renewagent.agent.times_in_words import (
    date_in_words,
    dates_in_words,
    duration_in_words,
    moment_in_words,
    time_in_words,
)
from renewagent.errors import RenewAgentError
from renewagent.model import CardIdentity, Finding, Verdict
from renewagent.rules import Campaign, Contact

NOT_SIGNED_IN = "The smartcard is renewed, but you have not signed in with it yet."
"""The reason of a finding: of its renewal, only the person's part is left."""
OLD_LEFT = "The smartcard is renewed, but its old certificate is still on it beside the new one."
"""The reason of a finding: way C was cut off at its very end, at another computer."""
RA_LOOKS_AT_IT = "The Registration Authority is looking at the request to renew this smartcard."
"""The reason of a finding: the RA is waited for."""
RA_IS_READY = "The Registration Authority has looked at the request to renew this smartcard."
"""The reason of a finding: it was waited for, and may be asked now."""
NO_ROOM = (
    "Your Registration Authority can make room on the smartcard. "
    "Then run: renewagent renew. It goes on from there, on any computer."
)
"""What to do where a card turned out to be full after its renewal had begun."""
_SAFETY = "Do not sign prescriptions with this smartcard until you renew it."


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
    return f"Contact: {', '.join(parts)}." if parts else ""


def card_in_words(card: CardIdentity | None) -> str:
    """`the smartcard ending 4821`."""
    return f"the smartcard ending {card.ending}" if card else "the smartcard"


def tries(left: int) -> str:
    """`1 try`, `3 tries`."""
    return f"{left} {'try' if left == 1 else 'tries'}"


def _join(*sentences: str) -> str:
    return " ".join(sentence for sentence in sentences if sentence)


# --- what was found -------------------------------------------------------------------------------------------------


def affected(campaign: Campaign, rule: str | None = None, *, by_hand: bool = True) -> Message:
    """An affected card: what is wrong, and the remedy of the campaign. `by_hand`: name the command to type."""
    reason = campaign.reason.get("en") or _reason_from_rule(campaign, rule)
    if campaign.remedy == "replace-card":
        return Message("replace-card", "Replace your smartcard", _join(reason, _NO_SIGNING), _see_ra(campaign.contact))
    if campaign.remedy == "see-ra":
        return Message(
            "see-ra", "See your Registration Authority", _join(reason, _NO_SIGNING), _see_ra(campaign.contact)
        )
    deadline = f"Renew it by {date_in_words(campaign.deadline)}." if campaign.deadline else ""
    body = _join(reason, _SAFETY, deadline, "It takes about 3 minutes.")
    advice = _join(_run(by_hand), contact_in_words(campaign.contact))
    return Message("affected", "Renew your smartcard", body, advice, actions=("Renew now", "Remind me in 1 hour"))


def _run(by_hand: bool) -> str:
    return "Run: renewagent renew." if by_hand else ""  # not beside a button that does it


_NO_SIGNING = "Do not sign prescriptions with this smartcard."
_GO_ON = ("Continue", "Not now")


def _reason_from_rule(campaign: Campaign, rule: str | None) -> str:
    hit = next((r for r in campaign.rules if r.name == rule), None)
    dates = dates_in_words(hit.issued_from, hit.issued_to) if hit else ""
    return (
        f"There is a problem with certificates issued {dates}." if dates else "There is a problem with its certificate."
    )


def _see_ra(contact: Contact) -> str:
    return _join("Only your Registration Authority can do this, in person.", contact_in_words(contact))


def not_affected(checked: datetime, now: datetime) -> Message:
    """No pop-up for this one; it stands in `status`."""
    return Message("not-affected", "This smartcard is OK", f"Checked {time_in_words(checked, now)}.")


def part_way(contact: Contact, *, by_hand: bool = True) -> Message:
    """A renewal of this card was begun, here or at another computer."""
    body = "Renewal is not finished. You cannot sign prescriptions with this smartcard yet."
    advice = _join("You can finish it on any computer.", _run(by_hand), contact_in_words(contact))
    return Message("part-way", "Finish renewing your smartcard", body, advice, actions=_GO_ON)


def _part_way(reason: str, contact: Contact, by_hand: bool) -> Message:
    if reason == NOT_SIGNED_IN:
        return replace(done_not_signed_in(None, contact, by_hand=by_hand), actions=_GO_ON)
    if reason == RA_LOOKS_AT_IT:
        body = f"{reason} You do not need to do anything. You will be told when it is ready."
        return Message("waiting", "Waiting for the Registration Authority", body, contact_in_words(contact))
    if reason == RA_IS_READY:
        advice = _join(_run(by_hand), contact_in_words(contact))
        return Message("ra-ready", "Finish renewing your smartcard", reason, advice, actions=_GO_ON)
    if reason == OLD_LEFT:
        body = f"{reason} A program may sign with the old one, which is not valid any more."
        advice = _join("To take it away, run: renewagent renew." if by_hand else "", contact_in_words(contact))
        return Message("old-left", "One step is left", body, advice, actions=_GO_ON)
    return part_way(contact, by_hand=by_hand)


def no_certificate(contact: Contact) -> Message:
    """A card without a signing certificate."""
    body = "There is no signing certificate on this smartcard."
    advice = _join("Check that this is the smartcard you sign prescriptions with.", contact_in_words(contact))
    return Message("no-certificate", "This smartcard cannot sign", body, advice)


def unreadable(reason: str, contact: Contact, code: str = "RA-CARD-DATA", advice: str = "") -> Message:
    """The card could not be read; `reason` says why in a full sentence, `advice` what to do if that is known."""
    usual = "Take the smartcard out, put it back in and wait a few seconds."
    return Message(
        "unreadable", "This smartcard cannot be read", reason, _join(advice or usual, contact_in_words(contact)), code
    )


def paused(contact: Contact) -> Message:
    """The card would be affected, but the campaign is paused. No pop-up: whoever has been told waits."""
    body = "The Registration Authority has paused its notice about this smartcard. You will be told when it goes on."
    return Message("paused", "Nothing to do now", body, contact_in_words(contact))


def not_judged() -> Message:
    """There is nothing to judge a card by: it must not be called good."""
    body = "There is no notice from your Registration Authority on this computer to check it by."
    return Message("not-judged", "This smartcard was not checked", body, "Ask your IT support if this lasts.")


def tries_in_words(tries_left: int | None) -> str:
    """A sentence where a passcode can no longer be typed here, else nothing."""
    if tries_left is None or tries_left > 1:
        return ""
    left = "There are no tries left" if tries_left == 0 else "There is 1 try left"
    return f"{left} for its passcode: your Registration Authority can unlock it."


def revoked(contact: Contact) -> Message:
    """No rule hits the certificate, but the RA has revoked it."""
    body = "The Registration Authority has revoked the certificate on this smartcard. You cannot sign with it."
    advice = _join("Ask your Registration Authority.", contact_in_words(contact))
    return Message("revoked", "This smartcard cannot sign", body, advice)


def expired(not_after: datetime, contact: Contact) -> Message:
    """The certificate has run out: nothing that can be done here."""
    body = f"The certificate on this smartcard expired on {date_in_words(not_after)}."
    advice = _join("Only your Registration Authority can renew it, in person.", contact_in_words(contact))
    return Message("expired", "This smartcard has expired", body, advice)


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
    left = f"You have {tries(tries_left)} for your passcode." if tries_left is not None else ""
    body = _join("Keep your smartcard in the reader.", "You will be asked for your passcode (PIN).", left)
    return Message("before", f"Renew {card_in_words(card)}", body, actions=("Start renewal", "Not now"))


def pin_wanted(card: CardIdentity, tries_left: int | None) -> Message:
    """Above the field for the passcode."""
    left = f"You have {tries(tries_left)}." if tries_left is not None else ""
    return Message("pin", "Passcode (PIN)", _join(f"Type the passcode (PIN) of {card_in_words(card)}.", left))


def wrong_pin(tries_left: int) -> Message:
    """The card refused what was typed; more than one try is left, and the question follows again."""
    body = f"Your passcode was wrong. You have {tries(tries_left)} left."
    return Message("wrong-pin", "Wrong passcode", body)


def pin_known_wrong() -> Message:
    """The person typed once more what the card has refused already: it is not sent again, and the question follows."""
    body = "That is the passcode that did not work before. It was not tried again, and no try was used."
    return Message("pin-known-wrong", "Wrong passcode", body)


def pin_impossible(error: RenewAgentError) -> Message:
    """What was typed cannot be a passcode of this card: it is not sent, and the question follows again."""
    return Message("pin-impossible", "Not a passcode", error.message, error.advice)


def running(step: int, of: int, text: str, seconds_left: float | None) -> str:
    """`Renewing. Keep the smartcard in. Step 2 of 4: making the new key. About 1 minute left.`"""
    left = f"{_capital(duration_in_words(seconds_left))} left." if seconds_left is not None else ""
    return _join("Renewing. Keep the smartcard in.", f"Step {step} of {of}: {text}.", left)


def pulled_unsafe(card: CardIdentity | None) -> Message:
    """The card went away after its key was replaced: it must be finished."""
    body = "Renewal is not finished. You cannot sign prescriptions with this smartcard yet."
    advice = f"Put {card_in_words(card)} back in and continue. You can do this on any computer."
    return Message("pulled-unsafe", "Renewal is not finished", body, advice, actions=("Continue",))


def pulled_half_way(card: CardIdentity | None) -> Message:
    """The card went away in the middle, but its key is the one that it had: it can sign all the time."""
    advice = f"Put {card_in_words(card)} back in and continue."
    return Message("pulled-half-way", "Renewal is not finished", "The smartcard was removed.", advice)


def card_busy() -> Message:
    """Another program holds the card in the middle of a renewal."""
    body = "Another program is using the smartcard. Close it. The renewal then goes on by itself."
    return Message("card-busy", "Another program is in the way", body, "Keep your smartcard in the reader.")


def insert_again(card: CardIdentity | None) -> Message:
    """The card is out; it is wanted back."""
    return Message("insert-again", "Put your smartcard back in", f"Insert {card_in_words(card)} to sign in again.")


def done(card: CardIdentity | None) -> Message:
    """The same card came back, its new certificate was read and it signed in."""
    return Message("done", "Done", f"You can sign prescriptions with {card_in_words(card)}.")


def done_not_signed_in(card: CardIdentity | None, contact: Contact, *, by_hand: bool = True) -> Message:
    """Renewed, but nobody has signed in with it yet."""
    body = f"{_capital(card_in_words(card))} is renewed, but you have not signed in with it yet."
    run = "put it in, run: renewagent renew, and " if by_hand else ""
    how = f"Before you sign prescriptions, {run}sign in again."
    advice = _join(how, contact_in_words(contact))
    return Message("done-not-signed-in", "One step is left", body, advice)


def more_cards(renewed: int, of: int, following: CardIdentity | None) -> Message:
    """Several cards, one after the other."""
    body = f"{renewed} of {of} smartcards renewed. Insert {card_in_words(following) if following else 'the next one'}."
    return Message("more-cards", "Next smartcard", body)


def wrong_card(seen: CardIdentity, wanted: CardIdentity) -> Message:
    """Another card than the one we wait for."""
    body = f"This is a different smartcard (ending {seen.ending}). Insert the one ending {wanted.ending}."
    return Message("wrong-card", "Another smartcard is needed", body, code="RA-CARD-DIFFERENT")


# --- when something else is in the way --------------------------------------------------------------------------------


def waiting(until: datetime, now: datetime, contact: Contact) -> Message:
    """The RA says "come back later": it is asked again at `until`, which is in the person's own zone."""
    body = "The Registration Authority has your request and is looking at it. You do not need to do anything."
    after = f"You will be told when it is ready. We ask again {moment_in_words(until, now)}."
    return Message("waiting", "Waiting for the Registration Authority", _join(body, after), contact_in_words(contact))


_TITLES: Mapping[type[RenewAgentError], str] = MappingProxyType(
    {
        errors.PinBlocked: "Your smartcard is locked",
        errors.LastPinTry: "Stop here",
        errors.UnsupportedCard: "This smartcard cannot be used here",
        errors.CardDataError: "This smartcard cannot be read",
        errors.NoRoom: "The smartcard is full",
        errors.CardRemoved: "The smartcard was removed",
        errors.PersonStopped: "Nothing was renewed",
        errors.ClockError: "This computer's clock is wrong",
        errors.BatteryLow: "This computer's battery is low",
        errors.RaUnreachable: "The renewal cannot go on now",
        errors.NotYet: "Renew your smartcard later",
        errors.RenewalImpossible: "This smartcard cannot be renewed here",
    }
)


def for_error(error: RenewAgentError, contact: Contact) -> Message:
    """Any error of ours: its sentence, its advice, its code in the small print, and whom to ask."""
    title = _TITLES.get(type(error), "That did not work")
    return Message("error", title, error.message, advice_with_contact(error, contact), error.code)


def advice_with_contact(error: RenewAgentError, contact: Contact) -> str:
    """What to do next; and whom to ask, unless the person can mend it alone and now (put the card in, say)."""
    return error.advice if error.retry is errors.Retry.NOW else _join(error.advice, contact_in_words(contact))


def stopping() -> Message:
    """After Ctrl-C: the renewal comes to an end in good order."""
    return Message("stopping", "Stopping", "The renewal stops as soon as that is safe for the smartcard.")


def journal_put_aside(where: str) -> Message:
    """Said once when our own record cannot be read any more."""
    body = "The record of earlier renewals on this computer was damaged. The smartcard and the Registration Authority "
    return Message("journal-put-aside", "Renewal goes on", f"{body}know the rest. It was kept as {where}.")


def watching() -> Message:
    """Said at the terminal once the agent runs."""
    body = "You will be told here when one must be renewed. Leave this window open, or press Ctrl-C to stop."
    return Message("watching", "Watching for smartcards", body)


def service_down() -> Message:
    """Said once when the PC/SC service goes away; renewagent keeps trying."""
    body = "The smartcard service of this computer is not running. renewagent will go on as soon as it is back."
    return Message(
        "service-down", "Smartcards cannot be checked now", body, "Tell your IT support if this lasts.", "RA-PCSC"
    )


def service_up() -> Message:
    """Said once when it is back."""
    return Message("service-up", "Smartcards are checked again", "The smartcard service is back.")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
