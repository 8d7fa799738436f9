"""How a data policy is shown, and that the unknown always counts as the worst."""

from dataclasses import replace
from datetime import date

import pytest

from router.providers.data_policy import UNKNOWN, DataPolicy, as_json, retention_header, summary

KNOWN = DataPolicy(
    known=True,
    trains=False,
    retention_days=30,
    retention_reason="abuse monitoring",
    zdr=False,
    caches_prompts=True,
    cache_ttl_seconds=300,
    regions=("us", "eu"),
    headquarters="US",
    certifications=("soc2",),
    policy_url="https://example.com",
    transfer_mechanism="SCC",
    checked=date(2026, 11, 24),
)


@pytest.mark.parametrize(
    ("policy", "shown"),
    [
        (KNOWN, "P30D"),
        (replace(KNOWN, retention_days=0), "none"),
        (replace(KNOWN, retention_days=None), "unknown"),
        (UNKNOWN, "unknown"),
        (replace(KNOWN, known=False), "unknown"),
    ],
)
def test_retention_header(policy: DataPolicy, shown: str) -> None:
    assert retention_header(policy) == shown


def test_summary() -> None:
    assert summary(KNOWN) == "trains=no; retention=P30D; zdr=no; region=us+eu; hq=US"
    assert summary(UNKNOWN) == "trains=unknown; retention=unknown; zdr=no; region=unknown; hq=unknown"
    assert "zdr=yes" in summary(replace(KNOWN, zdr=True, retention_days=0))


def test_unknown_counts_as_the_worst() -> None:
    for policy in (UNKNOWN, replace(KNOWN, known=False, zdr=True, retention_days=0)):
        assert policy.may_train and not policy.keeps_nothing and not policy.keeps_at_most(36_500)
    assert replace(KNOWN, trains=None).may_train
    assert not replace(KNOWN, zdr=True).keeps_nothing  # thirty days contradict the promise


def test_as_json() -> None:
    shown = as_json(KNOWN)
    assert shown["retention_days"] == 30 and shown["checked"] == "2026-11-24" and shown["known"] is True
    assert as_json(UNKNOWN)["trains"] is None and as_json(UNKNOWN)["known"] is False
