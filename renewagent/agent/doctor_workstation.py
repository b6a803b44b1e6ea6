"""The doctor's look at the computer: the session and what taking a card out does to it, the vendor's module, the disk,
the journal, the agent, and what of everything is installed. Nothing is changed.
"""

from __future__ import annotations

import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path

from renewagent import __version__
from renewagent.agent import doctor_pcscd, service
from renewagent.agent.control import ask_agent, runtime_folder
from renewagent.agent.disk import is_full, on_network
from renewagent.agent.journal import Journal
from renewagent.agent.notify_child import has_the_screen
from renewagent.agent.removal import OnRemoval, is_remote, on_removal
from renewagent.configuration import CardSettings, Configuration
from renewagent.errors import AgentError
from renewagent.health import Health, Observation
from renewagent.language import N_, _, ngettext

LITTLE_ROOM = 50 << 20
"""Octets: less than this is worth a word."""
NO_ROOM = 2 << 20
"""Octets: a journal and its reserve take about one."""
_SESSION, _REMOVAL, _MODULE = N_("session"), N_("removing the card"), N_("card software")
_DISK, _JOURNAL, _AGENT, _VERSION = N_("disk"), N_("journal"), N_("agent"), N_("version")
_HAVE_IT_INSTALLED = N_("Ask your IT support to correct card.pkcs11_module in renewagent's configuration.")

_REMOVING = {
    OnRemoval.NOTHING: (Health.OK, N_("Taking the smartcard out does nothing to this desktop."), ""),
    OnRemoval.LOCKS: (Health.OK, N_("Taking the smartcard out locks this screen."), ""),
    OnRemoval.SIGNS_OUT: (
        Health.WARNING,
        N_("Taking the smartcard out signs you out of this computer."),
        N_("Save your work before you take your smartcard out."),
    ),
    OnRemoval.DISCONNECTS: (
        Health.WARNING,
        N_("Taking the smartcard out ends your connection to the remote computer."),
        N_("Save your work before you take your smartcard out."),
    ),
    OnRemoval.UNKNOWN: (
        Health.UNKNOWN,
        N_("What taking the smartcard out does here is not known: this desktop does not say."),
        N_("Save your work before you take your smartcard out for the first time."),
    ),
}


def of_session() -> Iterator[Observation]:
    """Whether the person sits here, and what removing a card does."""
    if is_remote():
        said = _("You are connected to this computer from another one.")
        advice = _(
            "If no reader is found: have your IT support let the connection pass smartcards on, or use the computer "
            "that the reader is plugged into."
        )
        yield Observation(_SESSION, Health.WARNING, said, advice)
    elif not has_the_screen():
        said = _("Your session is not the one that is on the screen of this computer.")
        yield Observation(_SESSION, Health.WARNING, said, _("Log on at the computer itself, or switch back to it."))
    else:
        yield Observation(_SESSION, Health.OK, _("You sit at this computer itself, as far as it can tell."))
    health, said, advice = _REMOVING[on_removal()]
    yield Observation(_REMOVAL, health, _(said), _(advice))


def of_card_software(card: CardSettings) -> Iterator[Observation]:
    """The vendor's module, where one is configured."""
    module = card.pkcs11_module
    if module is None:
        return
    if not module.is_file():
        said = _("The card vendor's module {module} is not there.").format(module=module)
        yield Observation(_MODULE, Health.PROBLEM, said, _(_HAVE_IT_INSTALLED))
    else:
        yield Observation(_MODULE, Health.OK, _("The card vendor's module {name} is there.").format(name=module.name))


def of_disk(folder: Path) -> Iterator[Observation]:
    """Whether what the agent must remember can be written in `folder`, and for how long yet."""
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
        room = shutil.disk_usage(existing).free
    except OSError as problem:
        said = _("renewagent cannot write in its folder {folder}: {why}.").format(folder=folder, why=problem.strerror)
        yield Observation(
            _DISK, Health.PROBLEM, said, _("Ask your IT support to let you write there, or to make room.")
        )
        return
    if room < NO_ROOM or is_full(existing):
        said = _("The disk that {folder} is on is full: no renewal can be begun.").format(folder=folder)
        yield Observation(_DISK, Health.PROBLEM, said, _("Free some disk space, then try again."))
    elif room < LITTLE_ROOM:
        yield Observation(
            _DISK,
            Health.WARNING,
            _("There are {number} MB left on disk.").format(number=room >> 20),
            _("Free some disk space."),
        )
    elif on_network(existing):
        said = _("{folder} lies on a network's disk: nothing can be renewed while the network is away.").format(
            folder=folder
        )
        yield Observation(
            _DISK, Health.WARNING, said, _("Ask your IT support to set agent.state_dir to a local folder.")
        )
    else:
        yield Observation(_DISK, Health.OK, _("There is room, and renewagent can write in its folder."))


def of_journal(folder: Path) -> Iterator[Observation]:
    """Whether the journal can be read, and what it says is unfinished. Raises JournalError."""
    path = folder / "journal.db"
    if not path.exists():
        yield Observation(_JOURNAL, Health.OK, _("No smartcard has been renewed on this computer yet."))
        return
    with Journal(path) as journal:
        left = len(journal.open_renewals())
    if left:
        said = ngettext("A renewal is not finished.", "{number} renewals are not finished.", left).format(number=left)
        yield Observation(_JOURNAL, Health.WARNING, said, _("Put that smartcard in, and run: renewagent renew."))
    else:
        yield Observation(_JOURNAL, Health.OK, _("The journal can be read, and nothing in it is left unfinished."))


def of_agent(configuration: Configuration) -> Iterator[Observation]:
    """Whether an agent runs, of this very version."""
    try:
        agent = ask_agent(runtime_folder(configuration.agent.state_dir), {"ask": "status"}).get("agent", {})
    except AgentError:
        said = _("The agent is not running: nothing tells you when a smartcard must be renewed.")
        yield Observation(_AGENT, Health.WARNING, said, _how_to_start())
        return
    runs = agent.get("version")
    if runs == __version__:
        yield Observation(_AGENT, Health.OK, _("The agent is running."))
    else:
        said = _("The agent that runs is of another version ({running}) than this command ({version}).").format(
            running=runs or _("an older one"), version=__version__
        )
        yield Observation(_AGENT, Health.WARNING, said, _("Log off and on again, or run: renewagent service install."))


def of_versions() -> Iterator[Observation]:
    """What is installed, for the help desk. (PC/SC's version is the service's own.)"""
    said = ", ".join(f"{name} {number}" for name, number in versions().items())
    yield Observation(_VERSION, Health.OK, f"{said}.")


def versions() -> dict[str, str]:
    """By name: ours first."""
    found = {"renewagent": __version__, "Python": platform.python_version()}
    with suppress(PackageNotFoundError):
        found["pyscard"] = installed("pyscard")
    if pcsc := doctor_pcscd.version():
        found["pcsc-lite"] = pcsc
    found[platform.system() or sys.platform] = platform.release()
    return found


def _how_to_start() -> str:
    known = service.status() if sys.platform != "win32" else None
    if known is not None and known.file is not None:
        return _("Log off and on again. If that does not help, look why: journalctl --user -u renewagent.")
    return _("Run: renewagent service install.")
