"""The options that the prescriber's commands and the agent's children share, so that a child is told what the command
was told: a configuration file, and what takes the place of single settings."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from renewagent.agent import words
from renewagent.configuration import Configuration, Overrides, load
from renewagent.errors import ConfigurationError, RenewAgentError


def add_configuration_options(parser: argparse.ArgumentParser, *, overrides: bool = True) -> None:
    """Add --config; with `overrides` also --ra, --ra-root, --campaign (several) and --campaign-anchor."""
    parser.add_argument("--config", metavar="FILE", type=Path, help="use this configuration file alone")
    if not overrides:
        return
    parser.add_argument("--ra", metavar="URL", help="the Registration Authority's CMP address")
    parser.add_argument("--ra-root", metavar="FILE", type=Path, help="its root certificate, PEM")
    parser.add_argument("--campaign", metavar="FILE", type=Path, action="append", help="a signed campaign; may repeat")
    parser.add_argument("--campaign-anchor", metavar="FILE", type=Path, help="the anchor of campaign signers, PEM")


def configuration_of(arguments: argparse.Namespace) -> Configuration:
    """The configuration that these arguments ask for. Raises ConfigurationError."""
    overrides = Overrides(
        ra=getattr(arguments, "ra", None),
        ra_root=getattr(arguments, "ra_root", None),
        campaigns=tuple(getattr(arguments, "campaign", None) or ()),
        campaign_anchor=getattr(arguments, "campaign_anchor", None),
    )
    return load(arguments.config, overrides)


@contextmanager
def contact_named(configuration: Configuration) -> Iterator[None]:
    """An error that passes says whom to ask, as the configuration has it; not one about the configuration itself."""
    try:
        yield
    except ConfigurationError:
        raise
    except RenewAgentError as error:
        error.advice = words.advice_with_contact(error, configuration.contact)
        raise


def words_of(arguments: argparse.Namespace) -> tuple[str, ...]:
    """The same options as words of a command line, paths made absolute: what a child is started with."""
    return tuple(_words(arguments))


def _words(arguments: argparse.Namespace) -> Iterator[str]:
    for name in ("config", "ra", "ra_root", "campaign", "campaign_anchor"):
        given = getattr(arguments, name, None)
        for value in given if isinstance(given, list) else [given]:
            if value is not None:
                yield f"--{name.replace('_', '-')}"
                yield str(value.absolute()) if isinstance(value, Path) else str(value)
