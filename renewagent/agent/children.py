"""Short-lived children: PIN, keys and network live and die there, never in the resident process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from renewagent.errors import AgentError
from renewagent.language import _

CHILD_LIMIT = 120.0
"""Seconds for a child that nobody types into."""


def ask_child(module: str, options: Sequence[str], limit: float = CHILD_LIMIT) -> dict[str, Any]:
    """Run `module` and return the one JSON document that it prints. Raises AgentError."""
    try:
        done = subprocess.run(  # noqa: S603  our own interpreter and module, no shell
            command_of(module, options), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise AgentError(_("A part of renewagent did not end in time.")) from error
    except OSError as error:
        raise AgentError(_("A part of renewagent could not be started: {why}.").format(why=error.strerror)) from error
    try:
        document = json.loads(done.stdout)
    except ValueError as error:
        raise AgentError(_("A part of renewagent ended without a result.")) from error
    if not isinstance(document, dict):
        raise AgentError(_("A part of renewagent ended without a result."))
    if "error" in document and not document.get("ok", True):
        said = document["error"]
        raise AgentError(str(said.get("message", "")), advice=said.get("advice"))
    return document


def hand_over(document: Mapping[str, Any]) -> None:
    """In the child: what `ask_child` returns. An agent that has ended meanwhile wants no answer, and no complaint."""
    try:
        sys.stdout.write(json.dumps(document))
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the interpreter complains as it ends


def start_child(module: str, options: Sequence[str], descriptor: int) -> subprocess.Popen[bytes]:
    """Start `module`, which inherits `descriptor`, and nothing else, under the same number.

    It has a session of its own: Ctrl-C at our terminal reaches it as a closed channel, never in the middle of a step.
    """
    try:
        return subprocess.Popen(  # noqa: S603
            command_of(module, options),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=(descriptor,),
            start_new_session=True,
        )
    except OSError as error:
        raise AgentError(_("The renewal could not be started: {why}.").format(why=error.strerror)) from error


def start_listener(module: str, options: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start `module`, which says what it hears on its standard output, and ends when its standard input does. Raises
    OSError."""
    return subprocess.Popen(  # noqa: S603
        command_of(module, options), stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )


def leave_behind(module: str, options: Sequence[str]) -> None:
    """Start `module` and wait for nothing: it goes on by itself, and nobody hears of it, nor of one that cannot be
    started."""
    nobody = subprocess.DEVNULL
    with suppress(OSError):
        child = subprocess.Popen(  # noqa: S603
            command_of(module, options), stdin=nobody, stdout=nobody, stderr=nobody, start_new_session=True
        )
        child.returncode = 0  # it is not ours to wait for


def command_of(module: str, options: Sequence[str]) -> list[str]:
    """`-P`: what lies in the current folder is not imported."""
    return [sys.executable, "-P", "-m", module, *options]
