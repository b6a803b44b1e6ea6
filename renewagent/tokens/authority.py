"""The seams to whoever looks after tokens: a token authority (any validating server), a vendor's support desk, and a
vendor of soft tokens.

`renewagent.tokens.vendor` speaks to a vendor that is all three, `renewagent.tokens.privacyidea` to a token server.
Every call raises `TokenServerUnreachable` where no answer comes, `TokenServerMisbehaved` for one that makes no sense,
and `UnknownToken` for a serial (or a user name) that is not known there. None of them keeps a code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from renewagent.tokens.model import Checked, Invitation, SoftToken, TokenStanding
from renewagent.tokens.tickets import Filed, Order, ResetTicket


class TokenAuthority(Protocol):
    """Whoever validates one-time passwords."""

    def register(self, serial: str, account: str) -> TokenStanding:
        """Make the token `account`'s: active, or a spare where they have an active one. Again is as good as once."""

    def standing(self, serial: str) -> TokenStanding:
        """What is known of it."""

    def check(self, serial: str, code: str) -> Checked:
        """Use one code up. Never says why one is refused."""

    def resynchronise(self, serial: str, first: str, second: str) -> Checked:
        """Two consecutive codes set the counter behind them."""

    def reset(self, serial: str) -> None:
        """Forget failed tries: for an administrator, after they have seen who asks."""

    def activate(self, serial: str) -> TokenStanding:
        """A spare takes over; whatever was active for the account is deactivated, for good."""

    def disable(self, serial: str, *, lost: bool) -> None:
        """At once and for good. Again is as good as once."""


class VendorSupport(Protocol):
    """A vendor's support desk: what takes a person there, and a number to ask about."""

    def file_reset(self, ticket: ResetTicket, key: str) -> Filed:
        """Send a reset ticket. `key` makes sending it again harmless."""

    def file_order(self, order: Order, key: str) -> Filed:
        """Order a replacement or a spare. `key` as above."""

    def filed(self, number: str) -> Filed:
        """How far a ticket or an order is."""


class SoftTokenVendor(Protocol):
    """Whoever looks after phone apps. In place of a serial there is a Soft Token User Name."""

    def soft_tokens(self, usernames: Sequence[str]) -> dict[str, SoftToken]:
        """What is known of each; one that is not known is left out."""

    def invite(self, username: str) -> Invitation:
        """Have two codes sent to the person by two channels, with which a new device is activated. An invitation that
        is open already is given again, and nothing is sent twice."""

    def invitation(self, number: str) -> SoftToken | None:
        """What a device that was activated by it is; None as long as nobody has."""
