"""The forms of a vendor's support desk, asked line by line at a terminal, or taken from a file: reset tickets,
replacements, spares. What a line may hold is `renewagent.tokens.forms`' business.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from renewagent import asking
from renewagent.asking import BACK, BACKWARDS, ON, Asker, Members, Question
from renewagent.errors import ConfigurationError
from renewagent.language import N_, _
from renewagent.tokens.errors import FormError
from renewagent.tokens.forms import REPLACEMENT, RESET, Field, faults, fields_of
from renewagent.tokens.model import Picture
from renewagent.tokens.pictures import MOST_OCTETS, NEEDED, SIDES, prepare
from renewagent.tokens.said import Document, parts, text
from renewagent.tokens.serials import KNOWN, Asks, Profile, profile_of

NEVER_ARRIVED = "never-arrived"
_TITLES = {RESET: N_("A reset ticket"), REPLACEMENT: N_("A replacement"), "spare": N_("A spare token")}


@dataclass
class Ticket:
    """A form of `kind` as far as it is filled in. `told`: what was taken out of pictures, in sentences."""

    kind: str
    typed: dict[str, str] = field(default_factory=dict)
    pictures: dict[str, Picture] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    table: tuple[Profile, ...] = KNOWN

    def add_picture(self, side: str, path: Path) -> None:
        """A photograph from a file, without what a phone writes into it unseen. Raises FormError,
        ConfigurationError."""
        prepared = prepare(side, _octets(path))
        self.pictures[side] = prepared.picture
        if prepared.removed:
            self.told.append(
                _("Taken out of the picture of the {side}: {removed}.").format(
                    side=_(side), removed=", ".join(_(one) for one in prepared.removed)
                )
            )

    def faults(self) -> list[FormError]:
        """Everything that cannot be so, in the form's order."""
        return faults(self.kind, self.typed, tuple(self.pictures.values()), self.table)

    def fields(self) -> tuple[Field, ...]:
        """Its lines; those of a reset as the serial has them."""
        return fields_of(self.kind, self._profile())

    def document(self) -> dict[str, object]:
        """As the desk takes it."""
        pictures = [
            {"side": one.side, "media_type": one.media_type, "base64": base64.b64encode(one.octets).decode()}
            for one in self.pictures.values()
        ]
        return {"kind": self.kind, **self.typed, **({"pictures": pictures} if pictures else {})}

    def lines(self) -> list[str]:
        """What was filled in, line by line."""
        written = [
            f"  {_(line.label)}: {_(line.choices.get(self.typed[line.name], self.typed[line.name]))}"
            for line in self.fields()
            if self.typed.get(line.name)
        ]
        return [
            *written,
            *(
                "  " + _("Picture of the {side}: {size} bytes").format(side=_(side), size=len(one.octets))
                for side, one in self.pictures.items()
            ),
        ]

    def _profile(self) -> Profile | None:
        try:
            return profile_of(self.typed.get("serial", ""), self.table)[1]
        except FormError:
            return None


def profiles_in(standing: Document) -> list[Profile]:
    """What the desk says of the tokens that it knows: an administrator may have added kinds that are not known here."""
    found = []
    for one in parts(standing, "tokens"):
        serial, asks, maker = (text(one, name) for name in ("serial", "asks", "maker"))
        if serial and asks in [each.value for each in Asks]:
            found.append(Profile(serial, Asks(asks), maker, rest=""))
    return found


class TicketGuide:
    """Asks for every line that there is, then for pictures where they are needed, and shows the whole."""

    def __init__(self, asker: Asker, ticket: Ticket) -> None:
        self._asker = asker
        self._ticket = ticket

    def run(self) -> None:
        """Until the person has said yes to all of it. Raises PersonStopped."""
        self._asker.say(asking.how(_("Ctrl-C stops, and nothing is sent.")))
        ticket = self._ticket
        steps = [self._line(number) for number in range(len(ticket.fields()))]
        if ticket.kind == REPLACEMENT:
            steps += [self._picture(side) for side in SIDES]
        asking.through([*steps, self._look])

    def _line(self, number: int) -> Callable[[int], int]:
        def step(way: int) -> int:
            line = self._ticket.fields()[number]
            members: Members = dict(self._ticket.typed)
            way = asking.ask(self._asker, question(line), members, lambda now: self._check(line.name, now))
            self._ticket.typed = members
            return way

        return step

    def _check(self, name: str, members: Mapping[str, str]) -> None:
        now = Ticket(self._ticket.kind, dict(members), self._ticket.pictures, table=self._ticket.table)
        wrong = next((fault for fault in now.faults() if fault.field == name), None)
        if wrong is not None:
            raise ValueError(f"{wrong.message} {wrong.advice}")

    def _picture(self, side: str) -> Callable[[int], int]:
        needed = side in NEEDED
        what = _("A picture of the error message, if there is one")
        if needed:
            what = _("A picture of the {side} of the token").format(side=_(side))

        def step(way: int) -> int:
            if self._ticket.typed.get("cause") == NEVER_ARRIVED:
                return way
            self._asker.say(f"\n{what}\n" + _("The name of a file: JPEG, PNG, WebP or HEIC."))
            while True:
                known = _("as added") if side in self._ticket.pictures else ""
                typed = self._asker.ask(f"[{known}]: " if known else ": ").strip()
                if typed == BACK:
                    return BACKWARDS
                if not typed and (known or not needed):
                    return ON
                self._asker.say(self._added(side, typed) if typed else _("This is needed."))
                if side in self._ticket.pictures and typed:
                    return ON

        return step

    def _added(self, side: str, typed: str) -> str:
        self._ticket.pictures.pop(side, None)
        try:
            self._ticket.add_picture(side, Path(typed).expanduser())
        except (FormError, ConfigurationError, RuntimeError) as problem:  # the last: a "~" of nobody's
            return f"{problem}"
        return self._ticket.told[-1] if self._ticket.told else _("Added.")

    def _look(self, way: int) -> int:
        ticket = self._ticket
        names = [line.name for line in ticket.fields()]
        for fault in ticket.faults():
            self._asker.say(f"\n{fault.message} {fault.advice}")
            return names.index(fault.field) - self._last(names) if fault.field in names else BACKWARDS
        self._asker.say("\n".join([f"\n{_(_TITLES[ticket.kind])}:", *ticket.lines()]))
        return (
            ON
            if self._asker.ask("\n" + _("Send it? Enter for yes, {back} to go back: ").format(back=BACK))
            .strip()
            .lower()
            in ("", "y", "yes", _("yes").lower())
            else BACKWARDS
        )

    def _last(self, names: list[str]) -> int:
        return len(names) + (len(SIDES) if self._ticket.kind == REPLACEMENT else 0)


def question(line: Field) -> Question:
    """A line of a form, to be asked."""
    return Question(
        (line.name,),
        line.label if line.required else _("{label} (may be left open)").format(label=_(line.label)),
        line.hint,
        choices=tuple(line.choices.items()),
        needed=line.required,
    )


def _octets(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MOST_OCTETS + 1)
    except (OSError, ValueError) as problem:
        why = getattr(problem, "strerror", None) or _("that is no name of a file")
        raise ConfigurationError(
            _("The file {path} cannot be read: {why}.").format(path=path, why=why), advice=_("Check its name.")
        ) from problem
