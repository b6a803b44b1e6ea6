"""The doctor's look at what lies beyond this computer: campaigns and how fresh they are, the Registration Authority and
its console and how they are reached, and whether this computer's clock goes with theirs.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

import urllib3

from renewagent.agent.campaigns import InForce
from renewagent.agent.console_identity import ConsoleIdentity
from renewagent.agent.console_status import console_status
from renewagent.agent.remembered import CAMPAIGNS
from renewagent.agent.times_in_words import date_in_words, time_in_words
from renewagent.configuration import Configuration
from renewagent.health import Health, Observation
from renewagent.language import N_, _, ngettext
from renewagent.proxies import HttpClient, tls_context
from renewagent.rules import Campaign

PATIENCE = 4.0
"""Seconds for a connection, and for an answer to come on."""
CLOCK_MAY_DIFFER = timedelta(minutes=5)
"""As at a renewal (design section 4)."""
SOON = timedelta(days=14)
"""How long before its end a server's certificate is mentioned, and a campaign."""
_RA, _CONSOLE, _CLOCK, _CAMPAIGNS = N_("Registration Authority"), N_("console"), N_("clock"), N_("campaigns")
_CHECK_NETWORK = N_("Check the network connection, then try again.")
_TELL_IT = N_("Ask your IT support to check its address and its certificate.")


@dataclass(frozen=True, slots=True)
class Server:
    """Whom we ask: in words, as a sentence begins with them and within one, the address asked, and by which TLS."""

    name: str
    first: str
    within: str
    url: str
    tls: Callable[[], ssl.SSLContext]


@dataclass(frozen=True, slots=True)
class Answered:
    """`date`: its clock less ours; `ends`: when its certificate does. None for what it did not say."""

    status: int
    ahead: timedelta | None
    ends: datetime | None


def of_ra(configuration: Configuration) -> Iterator[Observation]:
    """The RA's CMP address, where one is configured, and the clock by it. Raises ConfigurationError."""
    url, root = configuration.ra.url, configuration.ra.root
    if url is not None:
        names = _("The Registration Authority"), _("the Registration Authority")
        yield from of_server(Server(_RA, *names, url, lambda: tls_context(root)), clock=True)


def of_console(configuration: Configuration, now: datetime) -> Iterator[Observation]:
    """The console's address for agents, where one is configured, and what waits for it. Raises ConfigurationError."""
    settings = configuration.console
    if settings.url is None:
        return
    address = f"{settings.url.rstrip('/')}/healthz"
    names = _("The console"), _("the console")
    server = Server(_CONSOLE, *names, address, lambda: _as_ourselves(configuration, now))
    yield from of_server(server, clock=configuration.ra.url is None)
    known = console_status(configuration) or {}
    if not known.get("enrolled"):
        said = _("The console does not know this computer yet.")
        advice = _(
            "It is made known by the agent, once it runs. If not, ask your IT support to check console.enrolment."
        )
        yield Observation(_CONSOLE, Health.WARNING, said, advice)
    elif known.get("problem"):
        yield Observation(
            _CONSOLE, Health.WARNING, str(known["problem"]), _("You do not need to do anything: it is tried again.")
        )


def of_server(server: Server, *, clock: bool) -> Iterator[Observation]:
    """Whether it is reached, and believed. With `clock` that ours goes with its own; else only that it does not."""
    host = urlsplit(server.url).netloc
    try:
        answered = _ask(server)
    except (urllib3.exceptions.HTTPError, OSError) as problem:
        said, advice = _no_answer(problem)
        yield Observation(server.name, Health.PROBLEM, _(said).format(server=server.first, host=host), _(advice))
        if clock:
            yield Observation(
                _CLOCK, Health.UNKNOWN, _("This computer's clock could not be compared with another one.")
            )
        return
    yield _of_answer(server, host, answered)
    if (found := of_clock(answered.ahead, server.within)) is not None and (clock or found.health is not Health.OK):
        yield found


def of_clock(ahead: timedelta | None, whose: str) -> Observation | None:
    """`ahead`: their clock less ours, None where they did not say; `whose`, as within a sentence."""
    if ahead is None:
        return None
    if abs(ahead) <= CLOCK_MAY_DIFFER:
        return Observation(_CLOCK, Health.OK, _("This computer's clock is right."))
    minutes = round(abs(ahead) / timedelta(minutes=1))
    if ahead > timedelta():
        said = _("This computer's clock is {span} behind that of {whose}: nothing can be renewed.")
    else:
        said = _("This computer's clock is {span} ahead of that of {whose}: nothing can be renewed.")
    wrong = said.format(span=_span(minutes), whose=whose)
    return Observation(_CLOCK, Health.PROBLEM, wrong, _("Ask your IT support to set this computer's clock."))


def _span(minutes: int) -> str:
    if minutes < 120:
        return ngettext("{number} minute", "{number} minutes", minutes).format(number=minutes)
    if minutes < 2880:
        return ngettext("{number} hour", "{number} hours", minutes // 60).format(number=minutes // 60)
    return ngettext("{number} day", "{number} days", minutes // 1440).format(number=minutes // 1440)


def of_campaigns(found: InForce | None, known: list[Campaign], state: Path, now: datetime) -> Iterator[Observation]:
    """`found`: what was fetched just now, None where that took too long; `known`: what is in force."""
    problems = found.problems if found is not None else ()
    for problem in problems:
        yield Observation.of_error(_CAMPAIGNS, problem, Health.WARNING)
    if found is None:
        said = _("The campaigns could not be fetched in time: the last ones that were serve.")
        yield Observation(_CAMPAIGNS, Health.WARNING, said, _(_CHECK_NETWORK))
    for campaign in known:
        yield _of_campaign(campaign, now)
    if problems or found is None:
        yield _last_fetched(state, now)
    elif not known:
        yield Observation(_CAMPAIGNS, Health.OK, _("No campaign is in force: no smartcard is known to be affected."))


def no_campaigns() -> Observation:
    """No source of campaigns is configured."""
    said = _("No campaign is configured: nothing says which smartcards must be renewed.")
    return Observation(_CAMPAIGNS, Health.WARNING, said, _("Ask your IT support to set campaign.urls."))


def _of_campaign(campaign: Campaign, now: datetime) -> Observation:
    name = _("{id} (version {version})").format(id=campaign.id, version=campaign.version)
    if campaign.withdrawn:
        return Observation(_CAMPAIGNS, Health.OK, _("The campaign {name} is withdrawn.").format(name=name))
    if campaign.expires is None:
        return Observation(_CAMPAIGNS, Health.OK, _("The campaign {name} is in force.").format(name=name))
    date = date_in_words(campaign.expires)
    if campaign.expires <= now:
        said = _("The campaign {name} expired on {date}: it starts no renewal any more.").format(name=name, date=date)
        advice = _("Ask your Registration Authority whether there is another.")
        return Observation(_CAMPAIGNS, Health.WARNING, said, advice)
    said = _("The campaign {name} is in force until {date}.").format(name=name, date=date)
    return Observation(_CAMPAIGNS, Health.OK, said)


def _last_fetched(state: Path, now: datetime) -> Observation:
    """When a campaign was last accepted here, by the files that are kept of it."""
    times = []
    with suppress(OSError):
        times = [path.stat().st_mtime for path in (state / CAMPAIGNS).glob("*.cms")]
    if not times:
        said = _("No campaign was ever accepted on this computer: no smartcard can be judged.")
        return Observation(_CAMPAIGNS, Health.WARNING, said, _("Ask your IT support to check campaign.urls."))
    last = time_in_words(datetime.fromtimestamp(max(times), UTC).astimezone(), now)
    return Observation(
        _CAMPAIGNS, Health.WARNING, _("The last new campaign was accepted {last}.").format(last=last), _(_CHECK_NETWORK)
    )


def _of_answer(server: Server, host: str, answered: Answered) -> Observation:
    if answered.status in (401, 403, 407):
        said = _("The way to {server} at {host} is barred (HTTP {status}).").format(
            server=server.within, host=host, status=answered.status
        )
        return Observation(server.name, Health.PROBLEM, said, _(_TELL_IT))
    if answered.status >= 500:
        said = _("{server} at {host} is reached, and out of order (HTTP {status}).").format(
            server=server.first, host=host, status=answered.status
        )
        return Observation(
            server.name, Health.PROBLEM, said, _("Try again later. If it lasts, contact your help desk.")
        )
    said = _("{server} at {host} is reached.").format(server=server.first, host=host)
    if answered.ends is not None and answered.ends - datetime.now(UTC) < SOON:
        ends = _("Its certificate ends on {date}: after that nobody reaches it.").format(
            date=date_in_words(answered.ends)
        )
        return Observation(server.name, Health.WARNING, f"{said} {ends}", _("Tell your Registration Authority."))
    return Observation(server.name, Health.OK, said)


def _ask(server: Server) -> Answered:
    """One GET, for the headers alone. Raises urllib3's errors, OSError, ConfigurationError."""
    with HttpClient(server.tls(), urllib3.Timeout(connect=PATIENCE, read=PATIENCE)) as http:
        asked = datetime.now(UTC)
        response = http.request("GET", server.url, preload_content=False, redirect=False, retries=False)
        try:
            date, ends = _date(response.headers.get("Date", "")), _ends(response)
        finally:
            response.close()
        half_way = asked + (datetime.now(UTC) - asked) / 2
        return Answered(response.status, date - half_way if date is not None else None, ends)


def _date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _ends(response: urllib3.BaseHTTPResponse) -> datetime | None:
    """When the server's own certificate ends; None without TLS."""
    link = getattr(response.connection, "sock", None)
    certificate = link.getpeercert() if isinstance(link, ssl.SSLSocket) else None
    ends = (certificate or {}).get("notAfter")
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(ends), UTC) if isinstance(ends, str) else None


def _as_ourselves(configuration: Configuration, now: datetime) -> ssl.SSLContext:
    context = tls_context(configuration.console.root)
    enrolled = ConsoleIdentity(configuration.agent.state_dir).enrolled(now)
    if enrolled is not None:
        context.load_cert_chain(enrolled.certificate, enrolled.key)
    return context


def _no_answer(problem: Exception) -> tuple[str, str]:
    """A sentence and what to do, in English."""
    if isinstance(problem, urllib3.exceptions.SSLError | ssl.SSLError):
        return N_("{server} at {host} could not be verified: it may not be the one that it says it is."), _TELL_IT
    if isinstance(problem, urllib3.exceptions.ProxyError):
        return N_("{server} at {host} cannot be reached: the proxy does not let us through."), N_(
            "Ask your IT support to check the proxy."
        )
    if isinstance(problem, urllib3.exceptions.NameResolutionError):
        return N_("{server} at {host} cannot be found: its name is not known here."), _CHECK_NETWORK
    if isinstance(problem, urllib3.exceptions.NewConnectionError):
        return N_("{server} at {host} cannot be reached."), _CHECK_NETWORK
    if isinstance(problem, urllib3.exceptions.TimeoutError | TimeoutError):
        return N_("{server} at {host} did not answer in time."), _CHECK_NETWORK
    return N_("{server} at {host} broke off in the middle."), _CHECK_NETWORK
