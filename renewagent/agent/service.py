"""The agent as a service of the person who is logged on: a systemd user unit on Linux, a log-on task on Windows.

The unit takes from the agent what it never needs, by means that need no user namespaces: those would change who the
smartcard service takes it for, and a browser that is started from here would inherit them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from renewagent.atomic import write_atomically
from renewagent.errors import AgentError, ConfigurationError
from renewagent.language import _

UNIT = "renewagent.service"
POLLS_BEFORE_DEAD = 3
"""A silent agent is taken for dead after so many poll intervals."""
FOR_EVERYBODY = Path("/usr/lib/systemd/user")
"""Where the package puts the unit, wanted by every log-on (systemd.unit(5))."""
_BACK_OFF_SINCE = 254
"""The version of systemd that can wait longer before each further start (RestartSteps=)."""
_LIMIT = 20.0
"""Seconds for the service manager's answer."""


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """`file`: where the unit is, None for nowhere; `enabled`: it starts at log-on; `state` as systemd has it ("active",
    "failed", ...), "" where no user manager answers."""

    file: Path | None
    enabled: bool
    state: str


def unit_text(command: Sequence[str], poll_interval: int, version: int = _BACK_OFF_SINCE) -> str:
    """The unit that runs `command`. `poll_interval` in seconds; `version` is systemd's."""
    back_off = "RestartSteps=6\nRestartMaxDelaySec=10min\n" if version >= _BACK_OFF_SINCE else ""
    return f"""[Unit]
Description=renewagent: says when a smartcard must be renewed, and renews it
Documentation=man:systemd.service(5)
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={" ".join(_quoted(word) for word in command)}
Restart=on-failure
RestartSec=5
{back_off}WatchdogSec={POLLS_BEFORE_DEAD * poll_interval}
TimeoutStartSec=60
# A renewal that is under way goes on to its own good end: only the agent itself is stopped.
KillMode=process
TimeoutStopSec=30

UMask=0077
NoNewPrivileges=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictNamespaces=yes
LockPersonality=yes
# No ProtectSystem=, PrivateTmp= and the like: in a user's unit they take a user namespace, in which the smartcard
# service does not know who is asking.

[Install]
WantedBy=default.target
"""


def agent_command(config: Path | None) -> list[str]:
    """How the agent of this installation is started."""
    chosen = ["--config", str(config.absolute())] if config is not None else []
    return [sys.executable, "-P", "-m", "renewagent", "agent", *chosen]


def unit_folder() -> Path:
    """Where a user's own units are (systemd.unit(5))."""
    given = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(given) if given else Path.home() / ".config") / "systemd" / "user"


def install(config: Path | None, poll_interval: int) -> ServiceStatus:
    """Write the unit, and have it started now and at every log-on; where everybody has one, and no file is named, that
    one serves. Again is as good as once. Raises AgentError."""
    if sys.platform == "win32":
        raise _not_here()
    file = unit_folder() / UNIT
    text = unit_text(agent_command(config), poll_interval, _systemd_version())
    try:
        if config is None and (FOR_EVERYBODY / UNIT).exists():
            _forget(file)
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(file, text.encode(), mode=0o644)
            _want(file)
    except OSError as problem:
        raise AgentError(
            _("The service cannot be installed in {folder}: {why}.").format(folder=file.parent, why=problem.strerror),
            advice=_("See that you may write there, then try again."),
        ) from problem
    if _manager_answers():
        _systemctl("daemon-reload")
        _started(_systemctl("restart", UNIT))
    return status()


def uninstall() -> ServiceStatus:
    """Stop it, and remove the unit, or mask it where everybody has it: what the agent has kept stays. Again is as good
    as once. Raises AgentError."""
    file = unit_folder() / UNIT
    if _manager_answers():
        _systemctl("stop", UNIT)
    try:
        _forget(file)
        if (FOR_EVERYBODY / UNIT).exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.symlink_to(os.devnull)  # as `systemctl --user mask` does
    except OSError as problem:
        raise AgentError(_("The service cannot be removed: {why}.").format(why=problem.strerror)) from problem
    if _manager_answers():
        _systemctl("daemon-reload")
    return status()


def status() -> ServiceStatus:
    """How it is. Never fails."""
    own, everybodys = unit_folder() / UNIT, FOR_EVERYBODY / UNIT
    state = _systemctl("is-active", UNIT).stdout.strip() if _manager_answers() else ""
    if own.is_symlink() and own.readlink() == Path(os.devnull):
        return ServiceStatus(None, False, state)
    file = next((one for one in (own, everybodys) if one.exists()), None)
    return ServiceStatus(file, any(_wanted_by(one).is_symlink() for one in (own, everybodys)), state)


def _forget(file: Path) -> None:
    _wanted_by(file).unlink(missing_ok=True)
    file.unlink(missing_ok=True)


def _want(file: Path) -> None:
    """As `systemctl --user enable` does, which needs no manager that runs."""
    link = _wanted_by(file)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(file)


def _wanted_by(file: Path) -> Path:
    return file.parent / "default.target.wants" / UNIT


def _manager_answers() -> bool:
    """False without systemd, and in a session that has no user manager."""
    return shutil.which("systemctl") is not None and _systemctl("show-environment").returncode == 0


def _systemctl(*words: str) -> subprocess.CompletedProcess[str]:
    command = ["systemctl", "--user", "--no-pager", *words]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT, check=False)  # noqa: S603
    except (OSError, subprocess.SubprocessError) as problem:
        return subprocess.CompletedProcess(command, 1, "", str(problem))


def _started(done: subprocess.CompletedProcess[str]) -> None:
    if done.returncode != 0:
        raise AgentError(
            _("The service was installed, and did not start."),
            advice=_("Look why: journalctl --user -u renewagent."),
        )


def _systemd_version() -> int:
    try:
        said = subprocess.run(
            ["systemctl", "--version"],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=_LIMIT,
            check=False,
        ).stdout
        return int(said.split()[1])
    except (OSError, subprocess.SubprocessError, IndexError, ValueError):
        return 0


def _quoted(word: str) -> str:
    """As systemd reads words (systemd.service(5), "COMMAND LINES"): specifiers and variables mean themselves."""
    plain = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{plain}"' if plain != word or any(c.isspace() for c in word) or not word else word


def _not_here() -> ConfigurationError:
    return ConfigurationError(
        _("On Windows the agent is started by a log-on task, which your IT support installs."),
        advice=_("packaging/windows has the task and how it is installed."),
    )
