"""Opening the person's browser at an address that is nobody else's business: by a file of mode 0600 that leads there,
so that it stands on no command line, and outside the sandbox that this process may be in.

What a browser is told to open others can read off the process table; the file they cannot.
"""

from __future__ import annotations

import html
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from renewagent.agent.outside import outside
from renewagent.errors import RenewAgentError
from renewagent.language import N_, _, tag

START_LIMIT = 15.0
"""Seconds that a program may take to hand an address over to a browser; one that is still there then is the browser."""
_OPENERS = ("xdg-open", "sensible-browser", "x-www-browser")


class NoBrowser(RenewAgentError):
    """There is no browser, or no screen, to show a page in."""

    code = "RA-NO-BROWSER"
    advice = N_("Run in a terminal: renewagent renew.")


@contextmanager
def leading_to(address: str, title: str, folder: Path) -> Iterator[Path]:
    """A file that sends a browser to `address`; gone when this ends."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(".html", "open-", folder)  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(_PAGE.format(html.escape(address), html.escape(title), tag(), html.escape(_("Go on"))))
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def has_screen(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a window can be shown at all."""
    return bool(environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"))


def open_browser(page: Path, seen: Callable[[], bool], environment: Mapping[str, str] = os.environ) -> None:
    """Open the file in the person's own browser; returns as soon as somebody has `seen` where it leads, or as a browser
    is known to have been told. Raises NoBrowser."""
    if not has_screen(environment):
        raise NoBrowser(_("There is no screen here to show a page on."))
    for command in commands(page, environment):
        ways = [outside(command, environment), command]
        if any(_starts(way, seen, environment) for way in (ways if ways[0] != command else ways[1:])):
            return
    raise NoBrowser(_("No browser could be opened."))


def commands(page: Path, environment: Mapping[str, str]) -> list[list[str]]:
    """What may open it, in the order in which that is tried: the person's BROWSER (colons between several, as
    sensible-browser(1) has it), then the desktop's own choice."""
    path = environment.get("PATH")
    named = [name for name in environment.get("BROWSER", "").split(":") if name and "%" not in name]
    found = (shutil.which(name, path=path) for name in (*named, *_OPENERS))
    return [[program, page.as_uri()] for program in found if program]


def _starts(command: Sequence[str], seen: Callable[[], bool], environment: Mapping[str, str]) -> bool:
    nobody = subprocess.DEVNULL
    try:
        child = subprocess.Popen(  # noqa: S603
            command, stdin=nobody, stdout=nobody, stderr=nobody, start_new_session=True, env=dict(environment)
        )
    except OSError:
        return False
    until(lambda: seen() or child.poll() is not None, START_LIMIT)
    if child.poll() is None:
        child.returncode = 0  # it is the browser itself, which is not ours to wait for
    return child.returncode == 0


def until(done: Callable[[], bool], seconds: float) -> bool:
    """Wait for `done`, for so long at most; whether it came."""
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


_PAGE = """<!doctype html>
<html lang="{2}">
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={0}">
<title>{1}</title>
<p><a href="{0}">{3}</a></p>
</html>
"""
