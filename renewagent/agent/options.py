"""The options that the prescriber's commands and the agent's children share, so that a child is told what the command
was told: a configuration file, and what takes the place of single settings."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from renewagent.agent import words
from renewagent.configuration import Configuration, Overrides, load, where_to_set
from renewagent.configuration_keys import Place, read_url
from renewagent.errors import ConfigurationError, RenewAgentError
from renewagent.language import N_, _

CHECK_COMMAND_LINE = N_("Check the command line, then try again.")


def add_configuration_options(parser: argparse.ArgumentParser, *, overrides: bool = True) -> None:
    """Add --config; with `overrides` also --ra, --ra-root, --campaign (several) and --campaign-anchor."""
    parser.add_argument("--config", metavar="FILE", type=Path, help=_("use this configuration file alone"))
    if not overrides:
        return
    parser.add_argument("--ra", metavar="URL", help=_("the Registration Authority's CMP address"))
    parser.add_argument("--ra-root", metavar="FILE", type=Path, help=_("its root certificate, PEM"))
    parser.add_argument(
        "--campaign", metavar="FILE", type=Path, action="append", help=_("a signed campaign; may repeat")
    )
    parser.add_argument("--campaign-anchor", metavar="FILE", type=Path, help=_("the anchor of campaign signers, PEM"))


def configuration_of(arguments: argparse.Namespace) -> Configuration:
    """The configuration that these arguments ask for. Raises ConfigurationError."""
    _check_typed(arguments)
    overrides = Overrides(
        ra=getattr(arguments, "ra", None),
        ra_root=getattr(arguments, "ra_root", None),
        campaigns=tuple(getattr(arguments, "campaign", None) or ()),
        campaign_anchor=getattr(arguments, "campaign_anchor", None),
    )
    return load(arguments.config, overrides)


def _check_typed(arguments: argparse.Namespace) -> None:
    """A slip of the fingers is no matter for the IT support. Raises ConfigurationError that says so."""
    file, url = arguments.config, getattr(arguments, "ra", None)
    if file is not None and not file.exists():
        raise ConfigurationError(
            _("There is no configuration file {file}.").format(file=file), advice=_(CHECK_COMMAND_LINE)
        )
    if url is not None:
        try:
            read_url(url, Place("--ra"))
        except ConfigurationError as error:
            error.advice = _(CHECK_COMMAND_LINE)
            raise


def no_campaign() -> ConfigurationError:
    """What is wrong where no source of campaigns is configured."""
    return ConfigurationError(
        _("No campaign is configured: nothing says which smartcards must be renewed."),
        advice=where_to_set("campaign.urls", "--campaign FILE"),
    )


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
