"""Whatever a provider could be told that links an account fails the control."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from governance.controls.control import Outcome
from router.controls.upstream_identifier_pseudonymous import UpstreamIdentifierPseudonymous
from router.gateway import prepare
from router.providers.catalog import Catalog
from tests.services import providers

KEY = bytes(range(32))


async def key() -> bytes:
    return KEY


@pytest.fixture
def control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> UpstreamIdentifierPseudonymous:
    monkeypatch.setenv(providers.KEY_ENV, providers.KEY)
    file = providers.write(tmp_path / "providers.yaml", "http://127.0.0.1:9")
    catalog = Catalog.load(file, production=False, allow_insecure=True, simulator_url=None)
    return UpstreamIdentifierPseudonymous(lambda: catalog, key)


async def test_every_provider_is_told_a_name_of_its_own(control: UpstreamIdentifierPseudonymous) -> None:
    found = await control.run()
    assert found.outcome is Outcome.PASSED, found
    assert found.counts["providers"] >= 6 and found.examined > 30


def _plain(key: bytes, provider: str, account_id: bytes) -> str:
    return hashlib.sha256(account_id).hexdigest()


def _prefixed(key: bytes, provider: str, account_id: bytes) -> str:
    return "va-" + hashlib.sha256(account_id.hex().encode()).hexdigest()[:32]


def _shared(key: bytes, provider: str, account_id: bytes) -> str:
    return "va-" + hashlib.sha256(key + account_id).hexdigest()[:32]


def _one_for_all(key: bytes, provider: str, account_id: bytes) -> str:
    return "va-" + hashlib.sha256(key + provider.encode()).hexdigest()[:32]


def _fresh(key: bytes, provider: str, account_id: bytes) -> str:
    import secrets

    return "va-" + secrets.token_hex(16)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda key, provider, account_id: account_id.hex(), "the account's id in hex of the caller's"),
        (_plain, "sha256 of the account's id as bytes"),
        (_prefixed, "sha256 of the account's id in hex"),
        (_shared, "by the identifier that others know it by"),
        (_one_for_all, "would know two accounts by one identifier"),
        (_fresh, "would know one account by several identifiers"),
    ],
)
async def test_another_way_to_name_an_account_fails(
    control: UpstreamIdentifierPseudonymous,
    monkeypatch: pytest.MonkeyPatch,
    made: Callable[[bytes, str, bytes], str],
    said: str,
) -> None:
    monkeypatch.setattr(prepare, "upstream_user", made)
    found = await control.run()
    assert found.outcome is Outcome.FAILED
    assert any(said in failure for failure in found.failures), found.failures


async def test_what_the_caller_says_of_themselves_is_not_passed_on(
    control: UpstreamIdentifierPseudonymous, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply = prepare.edits.apply

    def without_user(body: object, planned: list[prepare.edits.Edit]) -> bytes:
        return apply(body, [edit for edit in planned if edit.name != "user"])  # type: ignore[arg-type]

    monkeypatch.setattr(prepare.edits, "apply", without_user)
    found = await control.run()
    assert any("the person's id as text of the caller's" in failure for failure in found.failures), found.failures


async def test_without_a_provider_nothing_is_proven() -> None:
    found = await UpstreamIdentifierPseudonymous(lambda: Catalog((), (), {}), key).run()
    assert found.outcome is Outcome.UNPROVEN
