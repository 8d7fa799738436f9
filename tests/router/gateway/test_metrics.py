"""A label's value that holds a fragment of a body is replaced, whoever makes the metric."""

import re
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from router.gateway.metrics import Counter, Metrics, Seconds
from tests.services.guarding import PROMPT, guarding

ROOT = Path(__file__).parents[3]


def test_no_label_takes_a_fragment(event_log: Path) -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    own = Counter("own", "A counter.", ("what",), registry=registry)
    seconds = Seconds("took", "A histogram.", ("what",), registry=registry)
    with guarding() as guard:
        metrics.requests.labels("chat", PROMPT).inc()
        metrics.failures.labels(type=PROMPT).inc()
        own.labels(PROMPT[:40]).inc()
        seconds.labels(PROMPT).observe(1)
        metrics.requests.labels("chat", "200").inc()
        assert len(guard.places) == 4
    page = generate_latest(registry).decode()
    assert "knee" not in page and page.count("[withheld]") > 4
    assert 'valueapi_requests_total{endpoint="chat",status="200"} 1.0' in page


def test_every_metric_with_labels_is_made_of_these() -> None:
    bare = re.compile(r"from prometheus_client import .*\b(Counter|Histogram|Summary|Info|Enum)\b")
    found = [
        str(path.relative_to(ROOT))
        for package in ("governance", "policies", "reports", "router")
        for path in (ROOT / package).rglob("*.py")
        if bare.search(path.read_text())
    ]
    assert found == ["router/gateway/metrics.py"]
