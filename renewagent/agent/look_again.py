"""The long-lived child that holds the console's stream, where that is switched on (console.stream), and tells the agent
to look again: one octet on standard output each time. `python -m renewagent.agent.look_again [configuration options]`.

It says nothing of what there is to see, so nothing that comes over the stream has to be believed. It ends with the
agent, whose end of standard input closes then.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

import urllib3

from renewagent.agent.console_client import ConsoleClient, ConsoleError
from renewagent.agent.console_identity import ConsoleIdentity
from renewagent.agent.options import add_configuration_options, configuration_of
from renewagent.configuration import Configuration
from renewagent.errors import RenewAgentError
from renewagent.language import _

SILENCE = 60.0
"""Seconds without a heartbeat (the console sends one every 25) after which the stream counts as broken."""
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 3600.0
LOOK_AGAIN = b"look-again"
_LONGEST_LINE = 4096


def main(words: list[str]) -> int:
    """See the module."""
    parser = argparse.ArgumentParser()
    add_configuration_options(parser)
    configuration = configuration_of(parser.parse_args(words))
    threading.Thread(target=_end_with_the_agent, daemon=True).start()
    listen(configuration, lambda: os.write(sys.stdout.fileno(), b"!"), time.sleep, _chance)
    return 0


def listen(
    configuration: Configuration,
    tell: Callable[[], object],
    sleep: Callable[[float], object],
    chance: Callable[[], float],
) -> None:
    """Hold the stream for ever; where it breaks, come back after a pause that grows while it does not come about."""
    pause = FIRST_PAUSE
    while True:
        begun = time.monotonic()
        later = None
        try:
            _hold(configuration, tell)
        except ConsoleError as error:
            later = error.retry_after
        except RenewAgentError:
            pass
        pause = FIRST_PAUSE if time.monotonic() - begun > SILENCE else min(pause * 2, LONGEST_PAUSE)
        sleep(max(later or 0, pause * (0.5 + chance())))


def _hold(configuration: Configuration, tell: Callable[[], object]) -> None:
    console = configuration.console
    enrolled = ConsoleIdentity(configuration.agent.state_dir).enrolled(datetime.now(UTC))
    if console.url is None or enrolled is None:
        raise ConsoleError(_("This computer is not enrolled yet."))
    with ConsoleClient(console.url, console.root, enrolled) as client, client.stream(SILENCE) as response:
        for event in events(_pieces(response)):
            if event == LOOK_AGAIN:
                tell()


def _pieces(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    while piece := response.read1(_LONGEST_LINE):
        yield piece


def events(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The names of server-sent events; what else a line says, and a line without end, is passed over."""
    name, line = b"", bytearray()
    for piece in pieces:
        for octet in piece:
            if octet != 0x0A:
                if len(line) < _LONGEST_LINE:
                    line.append(octet)
                continue
            said = bytes(line).rstrip(b"\r")
            line.clear()
            if not said and name:
                yield name
            name = said.removeprefix(b"event:").strip() if said.startswith(b"event:") else name if said else b""


def _end_with_the_agent() -> None:
    with contextlib.suppress(OSError):
        while os.read(sys.stdin.fileno(), 4096):
            pass
    os._exit(0)


def _chance() -> float:
    return int.from_bytes(os.urandom(2), "big") / 65535


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
