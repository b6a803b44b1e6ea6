"""How many tries a passcode has left, in whole sentences. Pure functions of data; see `words`."""

from __future__ import annotations

from renewagent.language import _, ngettext


def tries(left: int) -> str:
    """`You have 3 tries.`"""
    return ngettext("You have {number} try.", "You have {number} tries.", left).format(number=left)


def tries_for_passcode(left: int) -> str:
    """`You have 3 tries for your passcode.`"""
    form = ngettext("You have {number} try for your passcode.", "You have {number} tries for your passcode.", left)
    return form.format(number=left)


def tries_for_its_passcode(left: int) -> str:
    """`You have 3 tries for its passcode.`"""
    form = ngettext("You have {number} try for its passcode.", "You have {number} tries for its passcode.", left)
    return form.format(number=left)


def tries_left_for_its_passcode(left: int) -> str:
    """`You have 3 tries left for its passcode.`"""
    form = ngettext(
        "You have {number} try left for its passcode.", "You have {number} tries left for its passcode.", left
    )
    return form.format(number=left)


def few_tries(tries_left: int | None) -> str:
    """A sentence where a passcode can no longer be typed here, else nothing."""
    if tries_left is None or tries_left > 1:
        return ""
    if tries_left == 0:
        return _("There are no tries left for its passcode: your Registration Authority can unlock it.")
    return _("There is 1 try left for its passcode: your Registration Authority can unlock it.")
