"""The log: JSON lines, and nothing secret or personal in them."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from renewagent.console.logs import JsonLines, redacted


def line(message: str, *words: object, fields: Any = None, problem: BaseException | None = None) -> dict[str, Any]:
    seen = (type(problem), problem, None) if problem else None
    record = logging.LogRecord("renewagent.x", logging.WARNING, "f", 1, message, words, seen)
    if fields is not None:
        record.fields = fields
    text = JsonLines().format(record)
    assert "\n" not in text
    shown: dict[str, Any] = json.loads(text)
    return shown


def test_a_line_has_a_name_and_fields() -> None:
    shown = line("campaign accepted", fields={"campaign": "autumn-2020", "version": 3, "late": False})
    assert shown.pop("at").endswith("+00:00")
    assert shown == {
        "level": "warning",
        "logger": "renewagent.x",
        "event": "campaign accepted",
        "campaign": "autumn-2020",
        "version": 3,
        "late": False,
    }


@pytest.mark.parametrize(
    "name", ["code", "fleet_code", "token", "cookie", "secret", "receipt", "email", "e-mail", "nonce", "private_key"]
)
def test_a_field_of_a_secret_name_is_removed(name: str) -> None:
    assert line("x", fields={name: "abc"})[name] == "[removed]"


@pytest.mark.parametrize(
    "secret",
    [
        "dr.ada@nhs.example",
        "kX9_2mPq7vR4tYw8zB3nLa",
        "eyJhbGciOiJIUzI1NiJ9-abcdefgh1234",
        "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----",
    ],
)
def test_what_looks_like_a_secret_is_removed_wherever_it_stands(secret: str) -> None:
    shown = line("it was %s there", secret, fields={"why": f"({secret})"}, problem=ValueError(f"not {secret}!"))
    assert secret not in json.dumps(shown)
    assert "it was [removed] there" == shown["event"]
    assert "ValueError: not" in shown["trace"]


def test_a_password_in_an_address_is_removed() -> None:
    assert redacted("postgresql://renewagent:hunter2@db.example/console") == (
        "postgresql://[removed]@db.example/console"
    )


@pytest.mark.parametrize(
    "harmless",
    [
        "a" * 64 + " is a hash; " + "0123456789abcdef" * 4,
        "renewagent.console.requests said /campaigns/{id}.campaign at 2026-11-22T05:30:11.962+00:00",
        'File "/usr/lib/python3.11/site-packages/sqlalchemy/engine/base.py", line 1234, in _exec_single_context',
        "CN=NHS Signing G2,O=nhs,C=GB",
    ],
)
def test_what_helps_stays(harmless: str) -> None:
    assert redacted(harmless) == harmless
