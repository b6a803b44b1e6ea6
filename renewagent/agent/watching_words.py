"""What a person is told of renewagent itself rather than of a smartcard, as pure functions of data; see `words`."""

from __future__ import annotations

from renewagent.agent.words import Message
from renewagent.language import _


def stopping() -> Message:
    """After Ctrl-C: the renewal comes to an end in good order."""
    return Message("stopping", _("Stopping"), _("The renewal stops as soon as that is safe for the smartcard."))


def journal_put_aside(where: str) -> Message:
    """Said once when our own record cannot be read any more."""
    body = _(
        "The record of earlier renewals on this computer was damaged. The smartcard and the Registration Authority "
        "know the rest. It was kept as {file}."
    )
    return Message("journal-put-aside", _("Renewal goes on"), body.format(file=where))


def watching() -> Message:
    """Said at the terminal once the agent runs."""
    body = _("You will be told here when one must be renewed. Leave this window open, or press Ctrl-C to stop.")
    return Message("watching", _("Watching for smartcards"), body)


def service_down() -> Message:
    """Said once when the PC/SC service goes away; renewagent keeps trying."""
    body = _("The smartcard service of this computer is not running. renewagent will go on as soon as it is back.")
    advice = _("Tell your IT support if this lasts.")
    return Message("service-down", _("Smartcards cannot be checked now"), body, advice, "RA-PCSC")


def service_up() -> Message:
    """Said once when it is back."""
    return Message("service-up", _("Smartcards are checked again"), _("The smartcard service is back."))
