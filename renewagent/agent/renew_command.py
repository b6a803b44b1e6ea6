"""What `renewagent renew` does: start the child that renews, through the agent where one runs, and be its person's end.

The channel leads from this terminal straight to the child; an agent in between only hands the descriptor on.
"""

from __future__ import annotations

import argparse
import socket
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from renewagent.agent import watching_words
from renewagent.agent.begin import agent_runs, begin_renewal
from renewagent.agent.children import leave_behind
from renewagent.agent.control import runtime_folder
from renewagent.agent.options import CHECK_COMMAND_LINE, configuration_of, contact_named, words_of
from renewagent.agent.passcode_entry import AT_TERMINAL, PersonAtTerminal
from renewagent.agent.prompts import Prompter, serve_channel
from renewagent.agent.terminal import quiet
from renewagent.agent.undumpable import undumpable
from renewagent.cli.answer import emit
from renewagent.errors import AgentError, ConfigurationError, RenewAgentError
from renewagent.language import _

POLL = "renewagent.agent.console_child"


class ChildsError(RenewAgentError):
    """An error that the child met, with the code that it had there."""

    code = "RA-CHILD"

    def __init__(self, said: dict[str, Any]) -> None:
        super().__init__(str(said["message"]), advice=str(said["advice"]))
        self.code = str(said["code"])


def renew(arguments: argparse.Namespace) -> int:
    """Renew the card in the reader, or in each of the readers. Raises what kept it from beginning."""
    undumpable()  # the passcode is typed here
    if arguments.officer_reader is not None and arguments.officer_reader == arguments.reader:
        raise ConfigurationError(
            _("The officer's smartcard and the one to be renewed cannot be in the same reader."),
            advice=_(CHECK_COMMAND_LINE),
        )
    configuration = configuration_of(arguments)
    officer = ["--officer-reader", arguments.officer_reader] if arguments.officer_reader is not None else []
    options, folder = [*words_of(arguments), *officer], runtime_folder(configuration.agent.state_dir)
    with contact_named(configuration):
        if arguments.browser:
            from renewagent.agent.window_child import window

            result = window(configuration, arguments.reader, options)
        else:
            person = PersonAtTerminal(configuration.passcode.entry or AT_TERMINAL)
            result = _result(folder, arguments.reader, options, person)
    if configuration.console.url is not None and not agent_runs(folder):
        leave_behind(POLL, ["--deliver", *words_of(arguments)])
    return _answer(result, as_json=arguments.json)


def _result(folder: Path, reader: str | None, options: Sequence[str], person: Prompter) -> dict[str, Any] | None:
    """What the child said."""
    ours, theirs = socket.socketpair()
    with closing(ours):
        with closing(theirs):
            child = begin_renewal(folder, reader, options, theirs.fileno())
        with quiet():
            result = _serve(ours, person)
    if child is not None:
        child.wait()
    return result


def _serve(sock: socket.socket, prompter: Prompter) -> dict[str, Any] | None:
    """As `serve_channel`; after Ctrl-C the child still says how it leaves the card."""
    try:
        return serve_channel(sock, prompter)
    except KeyboardInterrupt:
        prompter.tell(watching_words.stopping())
        sock.shutdown(socket.SHUT_WR)
        return serve_channel(sock, prompter)


def _answer(result: dict[str, Any] | None, *, as_json: bool) -> int:
    if result is None:
        raise AgentError(
            _("The renewal ended without a result."), advice=_("Run: renewagent renew. It goes on from there.")
        )
    if "error" in result:
        if result.get("usage"):
            raise ConfigurationError(result["error"]["message"], advice=result["error"]["advice"])
        raise ChildsError(result["error"])
    if as_json:
        emit(result)
    return 0 if result["ok"] else 1
