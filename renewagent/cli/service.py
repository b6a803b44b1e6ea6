"""`renewagent service`: the agent at every log-on. Parsing and telling only; `renewagent.agent.service` does it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from renewagent.agent.options import add_configuration_options
from renewagent.cli.answer import emit, say
from renewagent.language import _

if TYPE_CHECKING:
    from renewagent.agent.service import ServiceStatus


def register(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the commands."""
    service = subparsers.add_parser("service", help=_("have the agent started whenever you log on"))
    commands = service.add_subparsers(title=_("commands"), metavar="COMMAND", required=True)
    install = commands.add_parser(
        "install",
        help=_("start the agent now, and at every log-on"),
        description=_(
            "Installs the agent as a service of yours (a systemd user unit); no administrator's rights are "
            "needed. Once more is as good as once, and takes on what has changed."
        ),
    )
    add_configuration_options(install, overrides=False)
    install.set_defaults(run=_install)
    uninstall = commands.add_parser("uninstall", help=_("stop it, and start it no more; what it has kept stays"))
    uninstall.set_defaults(run=_uninstall)
    commands.add_parser("status", help=_("say whether it is installed, and runs")).set_defaults(run=_status)


def _install(arguments: argparse.Namespace) -> int:
    from renewagent.agent import service
    from renewagent.agent.options import configuration_of

    configuration = configuration_of(arguments)
    found = service.install(arguments.config, configuration.agent.poll_interval)
    said = _("It is running.") if found.state == "active" else _("It starts when you next log on.")
    return _answer(arguments, found, _("The agent is installed as a service of yours. {said}").format(said=said))


def _uninstall(arguments: argparse.Namespace) -> int:
    from renewagent.agent import service

    return _answer(arguments, service.uninstall(), _("The agent is no service any more. Its journal is still there."))


def _status(arguments: argparse.Namespace) -> int:
    from renewagent.agent import service

    found = service.status()
    if found.file is None:
        said = _("The agent is not installed as a service. Install it: renewagent service install.")
    elif found.state == "active":
        said = _("The agent is installed as a service, and runs.")
    elif found.state == "":
        said = _("The agent is installed as a service; no service manager of yours answers here.")
    else:
        said = _("The agent is installed as a service, and does not run. Look why: journalctl --user -u renewagent.")
    _answer(arguments, found, said)
    return 0 if found.file is not None and found.state in ("active", "") else 1


def _answer(arguments: argparse.Namespace, found: ServiceStatus, said: str) -> int:
    if arguments.json:
        file = str(found.file) if found.file is not None else None
        emit({"ok": True, "unit": file, "enabled": found.enabled, "state": found.state or None})
    else:
        say(said)
    return 0
