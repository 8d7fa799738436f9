"""Tiers, shipped and of one's own."""

from pathlib import Path

import pytest

from governance.errors import ConfigurationError
from router.gateway.ratelimit import LocalRateLimiter, Tiers


def test_the_shipped_tiers_load_and_rise() -> None:
    tiers = Tiers.load()
    assert tiers.for_top_up(0).name == "free"
    assert tiers.for_top_up(4_999_999).name == "free"
    assert tiers.for_top_up(5_000_000).name == "tier-1"
    assert tiers.for_top_up(10**12).name == [t.name for t in tiers][-1]
    assert tiers.get("free").account.requests_per_minute == 60
    with pytest.raises(ConfigurationError):
        tiers.get("platinum")


async def test_a_tiers_wants_are_four_buckets() -> None:
    tier = Tiers.load().get("free")
    wanted = tier.wants(bytes([1]) * 16, bytes([2]) * 16, tokens=700)
    assert len({w.key for w in wanted}) == 4
    assert [(w.kind, w.cost) for w in wanted] == [("requests", 1), ("tokens", 700)] * 2
    assert (await LocalRateLimiter().take(wanted)).allowed


GOOD = """
tiers:
  - name: free
    lifetime_top_up_microcredits_min: 0
    account: {requests_per_minute: 1, tokens_per_minute: 2}
    key: {requests_per_minute: 3, tokens_per_minute: 4}
  - name: paid
    lifetime_top_up_microcredits_min: 10
    account: {requests_per_minute: 5, tokens_per_minute: 6}
    key: {requests_per_minute: 7, tokens_per_minute: 8}
"""


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "limits.yaml"
    path.write_text(GOOD)
    assert Tiers.load(path).get("paid").key.tokens_per_minute == 8


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("requests_per_minute: 1,", "requests_per_minute: -1,"),
        ("requests_per_minute: 1,", "requests_per_minute: 1.5,"),
        ("requests_per_minute: 1,", "requests_per_minute: true,"),
        ("requests_per_minute: 1,", "requests_per_minute: '1',"),
        ("requests_per_minute: 1,", ""),
        ("requests_per_minute: 1,", "requests_per_minute: 1, requests_per_minute: 9,"),
        ("requests_per_minute: 1,", "requests_per_minute: 1, burst: 9,"),
        ("name: paid", "name: free"),
        ("name: paid", "name: 7"),
        ("_min: 10", "_min: 0"),
        ("_min: 0", "_min: 1"),
        ("tiers:", "levels:"),
        (GOOD, "tiers: []"),
        (GOOD, "[]"),
        (GOOD, "tiers: ["),
        (GOOD, "tiers: [1]"),
        (GOOD, "tiers: !!python/object/apply:os.getcwd []"),
    ],
)
def test_a_file_with_a_mistake_is_refused(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "limits.yaml"
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(ConfigurationError, match="rate limits"):
        Tiers.load(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        Tiers.load(tmp_path / "none.yaml")
