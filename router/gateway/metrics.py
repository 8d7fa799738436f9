"""Prometheus counters of the gateway. Labels are our own words: endpoints, status, provider ids; never a body's."""

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram


class Metrics:
    """One set for a process."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.requests = Counter(
            "valueapi_requests", "Requests by endpoint and status.", ("endpoint", "status"), registry=registry
        )
        self.seconds = Histogram(
            "valueapi_request_seconds",
            "Time until a request's last byte.",
            ("endpoint",),
            buckets=(0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 300),
            registry=registry,
        )
        self.in_flight = Gauge(
            "valueapi_requests_in_flight", "Requests being served.", registry=registry, multiprocess_mode="livesum"
        )
        self.charged = Counter("valueapi_charged_microcredits", "Micro-credits charged.", registry=registry)
        self.failures = Counter(
            "valueapi_internal_errors", "Errors that were nobody's but ours, by type.", ("type",), registry=registry
        )
