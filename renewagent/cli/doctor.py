"""`renewagent doctor`: why can I not sign? Parsing only; `renewagent.agent.doctor_command` does the work."""

from __future__ import annotations

import argparse
from pathlib import Path

from renewagent.agent.options import add_configuration_options
from renewagent.cli.desk_options import add_sign_in_options
from renewagent.language import _


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    doctor = subparsers.add_parser(
        "doctor",
        help=_("find out why you cannot sign"),
        description=_(
            "Looks at everything that signing needs and says what is wrong and what to do. It changes nothing, "
            "asks for no passcode and needs no administrator's rights. With --user it also signs in at the EPCS "
            "desk, and looks at your tokens, your soft token and what you have been granted."
        ),
    )
    doctor.add_argument("--reader", metavar="NAME", help=_("only this reader, by its full name"))
    doctor.add_argument(
        "--bundle", metavar="FILE", type=Path, help=_("also write a zip for the help desk, with nothing private in it")
    )
    add_sign_in_options(doctor)
    add_configuration_options(doctor)
    doctor.set_defaults(run=_doctor)


def _doctor(arguments: argparse.Namespace) -> int:
    from renewagent.agent.doctor_command import doctor

    return doctor(arguments)
