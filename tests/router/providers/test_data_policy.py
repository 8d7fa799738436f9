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
        # Caches count, but for those whose memory is lost within the hour.
        (replace(KNOWN, retention_days=0, caches_prompts=True, cache_ttl_seconds=300), "none"),
        (replace(KNOWN, retention_days=0, caches_prompts=True, cache_ttl_seconds=86_400), "P1D"),
        (replace(KNOWN, retention_days=0, caches_prompts=True, cache_ttl_seconds=5_400), "PT5400S"),
        (replace(KNOWN, retention_days=0, caches_prompts=True, cache_ttl_seconds=None), "unknown"),
        (replace(KNOWN, retention_days=0, caches_prompts=None), "unknown"),
        (replace(KNOWN, retention_days=30, caches_prompts=True, cache_ttl_seconds=86_400), "P30D"),
        (replace(KNOWN, retention_days=1, caches_prompts=True, cache_ttl_seconds=172_800), "P2D"),
    ],
)
def test_retention_header(policy: DataPolicy, shown: str) -> None:
    assert retention_header(policy) == shown


def test_where_the_account_lets_providers_store_nobody_knows_for_how_long() -> None:
    assert retention_header(replace(KNOWN, retention_days=0), may_store=True) == "unknown"
    assert retention_header(KNOWN, may_store=True) == "unknown"


def test_summary() -> None:
    assert summary(KNOWN) == "trains=no; retention=P30D; zdr=no; region=us+eu; hq=US"
    assert summary(UNKNOWN) == "trains=unknown; retention=unknown; zdr=no; region=unknown; hq=unknown"
    assert "zdr=yes" in summary(replace(KNOWN, zdr=True, retention_days=0))


def test_unknown_counts_as_the_worst() -> None:
    for policy in (UNKNOWN, replace(KNOWN, known=False, zdr=True, retention_days=0)):
        assert policy.may_train and not policy.keeps_nothing and not policy.keeps_at_most(36_500)
    assert replace(KNOWN, trains=None).may_train
    assert not replace(KNOWN, zdr=True).keeps_nothing  # thirty days contradict the promise


@pytest.mark.parametrize(
    ("caches", "seconds", "days"),
    [
        (False, None, 0),
        (True, 300, 0),
        (True, 3600, 0),
        (True, 3601, 1),
        (True, 86_400, 1),
        (True, 86_401, 2),
        (True, None, None),
        (None, None, None),
        (None, 300, None),
    ],
)
def test_a_cache_is_retention(caches: bool | None, seconds: int | None, days: int | None) -> None:
    """`days`: the least limit that it fits; None: none at all."""
    policy = replace(KNOWN, zdr=True, retention_days=0, caches_prompts=caches, cache_ttl_seconds=seconds)
    assert [policy.keeps_at_most(limit) for limit in (0, 1, 2, 36_500)] == [
        days is not None and limit >= days for limit in (0, 1, 2, 36_500)
    ]
    assert policy.keeps_nothing is (days == 0) and as_json(policy)["zdr"] is (days == 0)
    assert ("zdr=yes" in summary(policy)) is (days == 0)


def test_as_json() -> None:
    shown = as_json(KNOWN)
    assert shown["retention_days"] == 30 and shown["checked"] == "2026-11-24" and shown["known"] is True
    assert as_json(UNKNOWN)["trains"] is None and as_json(UNKNOWN)["known"] is False
    assert as_json(UNKNOWN)["certifications"] is None and shown["certifications"] == ["soc2"]
