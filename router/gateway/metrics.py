"""Prometheus counters of the gateway. Labels are our own words: endpoints, status, provider ids; never a body's."""

from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry, Gauge, Histogram
from prometheus_client import Counter as _Counter

from governance import sinks


class _Screened:
    """A label's value that holds a fragment of a body in flight is replaced: figures rest in files of the workers."""

    def labels(self, *values: Any, **named: Any) -> Any:
        return super().labels(  # type: ignore[misc]
            *(sinks.passed(sinks.Sink.METRIC, str(value)) for value in values),
            **{name: sinks.passed(sinks.Sink.METRIC, str(value)) for name, value in named.items()},
        )


class Counter(_Screened, _Counter):
    """A counter; every one of the service is made of it."""


class Seconds(_Screened, Histogram):
    """A histogram, likewise."""


class Metrics:
    """One set for a process."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.requests = Counter(
            "valueapi_requests", "Requests by endpoint and status.", ("endpoint", "status"), registry=registry
        )
        self.seconds = Seconds(
            "valueapi_request_seconds",
            "Time until a request's last byte.",
            ("endpoint",),
            buckets=(0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 300),
            registry=registry,
        )
        self.in_flight = Gauge(
            "valueapi_requests_in_flight", "Requests being served.", registry=registry, multiprocess_mode="livesum"
        )
        self.withheld = Counter(
            "valueapi_withheld", "Values that the guard kept from a sink, by sink.", ("sink",), registry=registry
        )
        self.charged = Counter("valueapi_charged_microcredits", "Micro-credits charged.", registry=registry)
        self.failures = Counter(
            "valueapi_internal_errors", "Errors that were nobody's but ours, by type.", ("type",), registry=registry
        )
