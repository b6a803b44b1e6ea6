"""The addresses of the workstations' agents: enrolment, certificates, check-ins, orders, and the stream of news.

Who asks is known by the certificate that was shown in TLS, and by nothing that is said in a request. An agent that was
revoked is refused at every address.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from renewagent.campaign.pem import read_certificates
from renewagent.console import audit
from renewagent.console.agents_ca import RENEWED_AFTER, AgentsCa, CertificateRequest, agents_ca, read_request
from renewagent.console.deliveries import read_delivery, read_object, with_proofs
from renewagent.console.enrolment import Newcomer, enrol, note_certificate, organisation_of, wait
from renewagent.console.guards import allow
from renewagent.console.intake import MOST_WAITING, Intake
from renewagent.console.news import event
from renewagent.console.orders import orders_for
from renewagent.console.rate_limits import allow as allow_rate
from renewagent.console.recording import NOTED_EVERY, Delivery, Taken
from renewagent.console.site import Site
from renewagent.console.tables import AGENT

_SMALL = 32 * 1024
"""Octets of a request other than a delivery of check-ins, and of a delivery that is read without a thread."""
_CERTIFICATES_A_DAY = 20
_NEWS = frozenset({"campaigns", "orders"})


def routes(site: Site) -> list[BaseRoute]:
    """All of the agents' addresses."""
    desk = Desk(site)
    return [
        Route("/agents/v1/enrol", desk.enrol, methods=["POST"]),
        Route("/agents/v1/certificate", desk.certificate, methods=["POST"]),
        Route("/agents/v1/check-ins", desk.check_ins, methods=["POST"]),
        Route("/agents/v1/orders", desk.orders, methods=["GET"]),
        Route("/agents/v1/stream", desk.stream, methods=["GET"]),
    ]


class Desk:
    """Answers agents. One per server process."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._intake = Intake(site, MOST_WAITING)
        self._ca: AgentsCa | None = None
        self._anchors: Sequence[x509.Certificate] | None = None

    async def enrol(self, request: Request) -> Response:
        """A fleet code and a certificate request, for a certificate."""
        allow(request, _SMALL)
        said = await _said(request, "code", "machine", "account", "csr", "version")
        await self._check_code(request, said["code"])
        try:
            newcomer = Newcomer(said["machine"], said["account"], said["version"])
        except ValueError as problem:
            raise HTTPException(400, f"The request cannot be understood: {problem}.") from problem
        asked = await run_in_threadpool(read_request, said["csr"])
        ca, now = await self._authority(), self._site.now()

        def work(connection: sa.Connection) -> Response | None:
            organisation = organisation_of(connection, said["code"], now)
            agent = enrol(connection, now, organisation, newcomer, asked) if organisation else None
            return _issued(connection, ca, agent, asked, now) if agent else None

        answer = await self._site.store.write(work)
        if answer is None:
            raise HTTPException(403, "This workstation's agent was revoked. It can enrol again with a new key.")
        return answer

    async def certificate(self, request: Request) -> Response:
        """A fresh certificate, for an agent that has one."""
        allow(request, _SMALL)
        agent = await self._agent(request)
        said = await _said(request, "csr")
        asked = await run_in_threadpool(read_request, said["csr"])
        ca, now = await self._authority(), self._site.now()

        def count(connection: sa.Connection) -> int:
            day = timedelta(days=1)
            return allow_rate(connection, "agent-certificate", agent, _CERTIFICATES_A_DAY, day, now)

        self._not_too_often(await self._site.store.write(count))

        def work(connection: sa.Connection) -> Response | None:
            if not connection.execute(_live(agent).with_for_update()).first():
                return None
            audit.record(connection, now, f"agent:{agent}", "agent.certificate-renewed", {"agent": agent})
            return _issued(connection, ca, agent, asked, now)

        answer = await self._site.store.write(work)
        return answer or _unknown()

    async def check_ins(self, request: Request) -> Response:
        """A delivery of check-ins."""
        agent = await self._agent(request)
        octets = await request.body()
        try:
            read = await run_in_threadpool(read_delivery, octets) if len(octets) > _SMALL else read_delivery(octets)
        except ValueError as problem:
            raise HTTPException(400, f"The request cannot be understood: {problem}.") from problem
        if any(one.receipt for one in read.check_ins):
            brought = await run_in_threadpool(with_proofs, read.check_ins, self._roots(), self._site.now())
        else:
            brought = tuple((one, None) for one in read.check_ins)
        taken = await self._intake.take(Delivery(agent, brought))
        if not taken.known:
            return _unknown()
        refused = (*read.refused, *taken.refused)
        self._count(taken, len(refused))
        return JSONResponse(
            {
                "accepted": list(taken.accepted),
                "refused": [{"id": name, "why": why} for name, why in refused],
                **self._orders(taken.orders),
            }
        )

    async def orders(self, request: Request) -> Response:
        """What an agent is to do."""
        agent, now = await self._agent(request), self._site.now()

        def look(connection: sa.Connection) -> tuple[Any, Sequence[str]]:
            row = connection.execute(_live(agent)).first()
            found = orders_for(connection, {agent: row.organisation}, now) if row else {}
            return row, found.get(agent, ())

        row, found = await self._site.store.read(look)
        if row is None:
            return _unknown()
        if row.last_seen is None or now - row.last_seen >= NOTED_EVERY:
            self._intake.sighted(agent)
        return JSONResponse(self._orders(found))

    async def stream(self, request: Request) -> Response:
        """ "look-again" whenever there may be something new."""
        agent = await self._agent(request)
        if not await self._site.store.read(lambda connection: connection.execute(_live(agent)).first()):
            return _unknown()
        return self._site.news.stream(_NEWS, lambda changed: event("look-again"))

    async def _agent(self, request: Request) -> str:
        """Who asks, by the certificate that was shown; whether it still is one of ours is in the records."""
        shown = request.scope.get("state", {}).get("client_certificate")
        agent = (await self._authority()).agent_of(shown, self._site.now()) if shown else None
        if agent is None:
            raise HTTPException(401, "Show the certificate that this agent was given when it enrolled.")
        return agent

    async def _authority(self) -> AgentsCa:
        if self._ca is None:
            now = self._site.now()
            self._ca = await self._site.store.write(lambda connection: agents_ca(connection, now))
        return self._ca

    def _roots(self) -> Sequence[x509.Certificate]:
        if self._anchors is None:
            self._anchors = read_certificates(self._site.settings.ra_root)
        return self._anchors

    async def _check_code(self, request: Request, code: str) -> None:
        now = self._site.now()
        address = request.client.host if request.client else ""

        def count(connection: sa.Connection) -> tuple[str | None, int]:
            organisation = organisation_of(connection, code, now)
            return organisation, wait(connection, now, address, organisation, code)

        organisation, seconds = await self._site.store.write(count)
        self._not_too_often(seconds)
        if organisation is None:
            self._site.meters.refusals.labels("fleet-code").inc()
            raise HTTPException(403, "This fleet code is not known here, or has ended.")

    def _not_too_often(self, seconds: int) -> None:
        if seconds:
            self._site.meters.refusals.labels("rate").inc()
            raise HTTPException(429, "That was too often. Try again later.", {"Retry-After": str(seconds)})

    def _orders(self, orders: Sequence[str]) -> dict[str, Any]:
        found = [{"id": order, "kind": "check-now"} for order in orders]
        return {"orders": found, "poll": self._site.settings.poll_interval}

    def _count(self, taken: Taken, refused: int) -> None:
        counts = self._site.meters.check_ins
        counts.labels("accepted").inc(len(taken.accepted) - taken.again)
        counts.labels("again").inc(taken.again)
        counts.labels("refused").inc(refused)


def _live(agent: str) -> sa.Select[Any]:
    return sa.select(AGENT).where(AGENT.c.id == agent, AGENT.c.revoked.is_(None))


def _unknown() -> Response:
    return JSONResponse({"error": "This workstation's agent is not known here, or was revoked."}, 403)


async def _said(request: Request, *fields: str) -> dict[str, str]:
    try:
        said = read_object(await request.body(), fields)
        if not all(isinstance(value, str) for value in said.values()):
            raise ValueError("every field is a text")
    except ValueError as problem:
        raise HTTPException(400, f"The request cannot be understood: {problem}.") from problem
    return said


def _issued(connection: sa.Connection, ca: AgentsCa, agent: str, asked: CertificateRequest, now: datetime) -> Response:
    certificate = ca.issue(agent, asked, now)
    note_certificate(connection, agent, hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest())
    chain = certificate.public_bytes(Encoding.PEM).decode() + ca.pem
    renew_after = (now + RENEWED_AFTER).strftime("%Y-%m-%dT%H:%M:%SZ")
    return JSONResponse({"agent": agent, "certificate": chain, "renew_after": renew_after})
