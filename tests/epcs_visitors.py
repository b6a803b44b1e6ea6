"""People at the pages of the EPCS desk, without a browser: what they read, and the forms that they send."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from html import unescape
from typing import Any, NoReturn

from renewagent.console.permissions import Person, Role
from renewagent.tokens.errors import TokenServerUnreachable
from tests.console import Answer, Browser, form_token, sign_in
from tests.epcs_desk import Bench

_BOUNDARY = "the-next-part"


@dataclass
class Visitor:
    """Somebody at the pages: forms are sent as a browser sends them."""

    bench: Bench
    person: Person
    browser: Browser = field(init=False)

    def __post_init__(self) -> None:
        self.browser = Browser(self.bench.app, sign_in(self.bench.site, self.person))

    def get(self, path: str, status: int = 200) -> str:
        """The page's words."""
        answer = self.browser.get(path)
        assert answer.status == status, (path, answer.status, words_of(answer))
        return words_of(answer)

    def post(self, path: str, **fields: str) -> Answer:
        form = {"csrf": form_token(self.bench.site, self.browser.token), **fields}
        return self.browser.post(path, form)

    def send(self, path: str, fields: dict[str, str], files: Iterable[tuple[str, str, bytes]]) -> Answer:
        """A form with files: the field's name, the file's, and what is in it."""
        given = {"csrf": form_token(self.bench.site, self.browser.token), **fields}
        heads = [(f'name="{name}"', value.encode()) for name, value in given.items()]
        heads += [(f'name="{name}"; filename="{file}"', octets) for name, file, octets in files]
        parts = [
            f"--{_BOUNDARY}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + octets + b"\r\n"
            for head, octets in heads
        ]
        body = b"".join([*parts, f"--{_BOUNDARY}--\r\n".encode()])
        return self.browser.post(path, body, ("content-type", f"multipart/form-data; boundary={_BOUNDARY}"))

    def done(self, path: str, **fields: str) -> str:
        """A form that does what it is for: the words of the page that it leads to."""
        answer = self.post(path, **fields)
        assert answer.status == 303, words_of(answer)
        return self.get(answer.header("location"))


@dataclass
class Place:
    """lee prescribes, hale administers, reed is a registrant, far administers elsewhere."""

    bench: Bench
    lee: Visitor
    hale: Visitor
    reed: Visitor
    far: Visitor


class Away:
    """A vendor, or an EHR, that does not answer, whatever it is asked."""

    def __getattr__(self, name: str) -> Any:
        def call(*_: object, **__: object) -> NoReturn:
            raise TokenServerUnreachable("The vendor does not answer.")

        return call


def words_of(answer: Answer) -> str:
    """What is read on a page, without its head and its marks."""
    body = re.sub(r"(?s)^.*?<main", "<main", answer.text)
    return " ".join(unescape(re.sub(r"(?s)<[^>]+>", " ", body)).split())


def new_place(bench: Bench) -> Place:
    """With everybody in it."""
    people = (
        bench.person("lee", dea="AL1234563"),
        bench.person("hale", Role.EPCS_ADMINISTRATOR),
        bench.person("reed", dea="BR1234563"),
        bench.person("far", Role.EPCS_ADMINISTRATOR, organisations="RX2"),
    )
    return Place(bench, *(Visitor(bench, one) for one in people))
