"""What the console counts, for Prometheus (docs/console.md names each). One set per server process."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Meters:
    """Raise them where it happens: `site.meters.check_ins.labels("accepted").inc()`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.check_ins = Counter(
            "renewagent_check_ins", "Check-ins that came in, by outcome.", ["outcome"], registry=self.registry
        )
        """`outcome`: accepted, again, refused."""
        self.refusals = Counter(
            "renewagent_refusals", "Requests that were turned away, by reason.", ["reason"], registry=self.registry
        )
        """`reason`: a few fixed words ("fleet-code", "rate", "sign-in", "csrf", ...), never what a client sent."""
        self.requests = Histogram(
            "renewagent_request_seconds",
            "Time to answer, by listener, address and status.",
            ["listener", "address", "status"],
            buckets=_BOUNDS,
            registry=self.registry,
        )
