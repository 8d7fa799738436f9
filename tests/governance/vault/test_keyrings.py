"""One contract for all keyrings: the real file and environment, KMS by moto on a socket, transit by its simulator."""

import asyncio
import base64
import logging
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import boto3
import pytest

from governance import clock
from governance.errors import ConfigurationError, Conflict, KeyGone, KeyUnavailable
from governance.ids import uuid7
from governance.settings import GovernanceSettings
from governance.vault import keyring as keyring_format
from governance.vault.keyring import Keyring, RootState
from governance.vault.keyrings import create_keyring, open_keyring
from tests.governance.vault.conftest import KMS_SECRET, TOKEN
from tests.services.valueapi import free_port
from tests.simulators.transit import TransitSimulator

KEY = bytes(range(32))


@dataclass
class Provider:
    """A backend that outlives its keyrings."""

    name: str
    settings: dict[str, Any]
    elsewhere: dict[str, Any]  # of the same kind, with other root keys
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def open(self, **changes: Any) -> Keyring:
        return await self._kept(await open_keyring(GovernanceSettings(**{**self.settings, **changes})))

    async def create(self, settings: dict[str, Any] | None = None) -> Keyring:
        return await self._kept(await create_keyring(GovernanceSettings(**(settings or self.settings))))

    async def _kept(self, keyring: Keyring) -> Keyring:
        self.stack.push_async_callback(keyring.aclose)
        return keyring


def root_keys(number: int = 1) -> str:
    return ",".join(f"{uuid7()}:{base64.b64encode(os.urandom(32)).decode()}" for _ in range(number))


def made(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Provider:
    if kind == "file":
        return Provider(kind, {"key_file": tmp_path / "a" / "root.key"}, {"key_file": tmp_path / "b" / "root.key"})
    if kind == "env":
        return Provider(
            kind, {"keyring": "env", "root_keys": root_keys(2)}, {"keyring": "env", "root_keys": root_keys()}
        )
    if kind == "aws-kms":
        request.getfixturevalue("aws")
        here, there = (f"aws-kms:alias/valueapi-{uuid.uuid4()}" for _ in range(2))
        return Provider(kind, {"keyring": here}, {"keyring": there})
    simulator: TransitSimulator = request.getfixturevalue("transit")
    access = {"vault_addr": simulator.url, "vault_token": TOKEN}
    return Provider(
        kind,
        {"keyring": "vault-transit:transit/valueapi", **access},
        {"keyring": "vault-transit:transit/other", **access},
    )


KINDS = ("file", "env", "aws-kms", "vault-transit")
CHANGING = tuple(kind for kind in KINDS if kind != "env")


@pytest.fixture
async def provider(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Provider]:
    made_ = made(request.param, request, tmp_path)
    async with made_.stack:
        await made_.create()
        yield made_


every = pytest.mark.parametrize("provider", KINDS, indirect=True)
changing = pytest.mark.parametrize("provider", CHANGING, indirect=True)


async def unavailable(call: Awaitable[object], match: str | None = None) -> None:
    """It fails by the one error that means neither erasure nor success, which shows nothing of what it met."""
    with pytest.raises(KeyUnavailable, match=match) as raised:
        await call
    error = raised.value
    assert not isinstance(error, KeyGone), "a root key that is missing must not look like an erasure"
    assert error.__cause__ is None and (error.__context__ is None or error.__suppress_context__)
    for secret in (TOKEN, KMS_SECRET, "secret detail", base64.b64encode(KEY).decode()):
        assert secret not in str(error)


@every
async def test_what_one_process_wraps_another_unwraps(provider: Provider) -> None:
    key_id = uuid7()
    first, second = await provider.open(), await provider.create()
    wrapped = await first.wrap(KEY, key_id)
    assert await second.unwrap(wrapped, key_id) == KEY
    assert await first.unwrap(wrapped, key_id) == KEY
    assert KEY not in wrapped and base64.b64encode(KEY) not in wrapped
    assert keyring_format.root_id(wrapped) == first.current == second.current
    assert first.name == provider.name and first.destruction.endswith(".")


@every
async def test_a_wrapped_key_is_bound_to_its_id(provider: Provider) -> None:
    keyring = await provider.open()
    await unavailable(keyring.unwrap(await keyring.wrap(KEY, uuid7()), uuid7()), "altered")


@every
@pytest.mark.parametrize("at", [0, 1, 2, 17, 18, 40, -20, -1])
async def test_an_altered_key_opens_nothing(provider: Provider, at: int) -> None:
    keyring, key_id = await provider.open(), uuid7()
    wrapped = bytearray(await keyring.wrap(KEY, key_id))
    wrapped[at] ^= 1
    await unavailable(keyring.unwrap(bytes(wrapped), key_id))


@every
@pytest.mark.parametrize("length", [0, 1, 18, 19, 60])
async def test_a_cut_key_opens_nothing(provider: Provider, length: int) -> None:
    keyring, key_id = await provider.open(), uuid7()
    await unavailable(keyring.unwrap((await keyring.wrap(KEY, key_id))[:length], key_id))


@every
async def test_another_keyring_of_its_kind_opens_nothing(provider: Provider) -> None:
    keyring, key_id = await provider.open(), uuid7()
    other = await provider.create(provider.elsewhere)
    assert other.current != keyring.current
    await unavailable((await provider.open(**provider.elsewhere)).unwrap(await _alien(keyring, key_id), key_id))


async def _alien(keyring: Keyring, key_id: UUID) -> bytes:
    """Wrapped by this keyring; KMS keys are told apart by the account, so there one that the account doesn't have."""
    wrapped = await keyring.wrap(KEY, key_id)
    return wrapped[:2] + uuid7().bytes + wrapped[18:] if keyring.name == "aws-kms" else wrapped


@pytest.mark.parametrize("kinds", [(a, b) for a in KINDS for b in KINDS if a != b], ids="-not-".join)
async def test_another_kind_of_keyring_opens_nothing(
    kinds: tuple[str, str], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    key_id = uuid7()
    one, other = (made(kind, request, tmp_path) for kind in kinds)
    async with one.stack, other.stack:
        wrapped = await (await one.create()).wrap(KEY, key_id)
        await unavailable((await other.create()).unwrap(wrapped, key_id))


@changing
async def test_after_a_rotation_old_keys_open_everywhere(provider: Provider) -> None:
    key_id = uuid7()
    one, other = await provider.open(), await provider.open()
    first = one.current
    old = await other.wrap(KEY, key_id)
    second = await one.rotate()
    assert second != first and one.current == second
    # The other process was opened before: it reads both, and wraps under the new one from now on.
    new = await other.wrap(KEY, key_id)
    assert keyring_format.root_id(new) == second == other.current
    for keyring in (one, other, await provider.open()):
        assert await keyring.unwrap(old, key_id) == await keyring.unwrap(new, key_id) == KEY
        assert await keyring.root_ids() == {first: RootState.OLD, second: RootState.CURRENT}


@changing
async def test_a_destroyed_root_key_opens_nothing_and_leaves_the_others(provider: Provider) -> None:
    key_id = uuid7()
    one, other = await provider.open(), await provider.open()
    first = one.current
    lost = await one.wrap(KEY, key_id)
    second = await one.rotate()
    kept = await one.wrap(KEY, key_id)
    for current in (one, other):
        with pytest.raises(Conflict, match="rotate first"):
            await current.destroy(second)
    with pytest.raises(KeyGone):
        await one.destroy(uuid7())
    before = clock.now()
    destruction = await one.destroy(first)
    assert destruction.limit == one.destruction
    for keyring in (one, other, await provider.open()):
        await unavailable(keyring.unwrap(lost, key_id))
        assert await keyring.unwrap(kept, key_id) == KEY
        assert (await keyring.root_ids())[second] is RootState.CURRENT
    if provider.name == "aws-kms":
        assert destruction.at is not None
        assert timedelta(days=6, hours=23) < destruction.at - before < timedelta(days=7, hours=1)
        assert (await other.root_ids())[first] is RootState.DESTROYING
        assert await other.destroy(first) == destruction  # told again
    else:
        assert first not in await other.root_ids()
        assert destruction.at is None if provider.name == "file" else destruction.at >= before  # type: ignore[operator]
        with pytest.raises(KeyGone):
            await other.destroy(first)


@pytest.mark.parametrize("provider", ["env"], indirect=True)
async def test_the_environment_is_changed_by_hand(provider: Provider) -> None:
    keyring = await provider.open()
    with pytest.raises(Conflict, match="VALUEAPI_ROOT_KEYS"):
        await keyring.rotate()
    with pytest.raises(Conflict, match="VALUEAPI_ROOT_KEYS"):
        await keyring.destroy(list(await keyring.root_ids())[-1])
    first, second = provider.settings["root_keys"].split(",")
    key_id = uuid7()
    wrapped = await keyring.wrap(KEY, key_id)
    turned = await provider.open(root_keys=f"{second}, {first}")
    assert str(turned.current) == second[:36] and await turned.unwrap(wrapped, key_id) == KEY
    await unavailable((await provider.open(root_keys=second)).unwrap(wrapped, key_id), "environment doesn't hold")


BAD_ROOT_KEYS = ("", "x", "x:y", f"{uuid7()}:AAAA", f"{uuid7()}", "{0},{0}".format(root_keys()))


@pytest.mark.parametrize("text", BAD_ROOT_KEYS, ids=range(len(BAD_ROOT_KEYS)))
async def test_bad_root_keys_stop_the_start_without_being_shown(text: str) -> None:
    with pytest.raises(ConfigurationError, match="VALUEAPI_ROOT_KEYS") as raised:
        await open_keyring(GovernanceSettings(keyring="env", root_keys=text))
    assert not text or text not in str(raised.value)


UNREACHABLE = {"aws-kms": "can't be reached", "vault-transit": "can't be reached"}


@pytest.mark.parametrize("provider", UNREACHABLE, indirect=True)
async def test_a_provider_out_of_reach_is_a_sentence(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("governance.vault.keyring_kms._ATTEMPTS", 1)
    nowhere = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", nowhere)
    address = {"vault_addr": nowhere} if provider.name == "vault-transit" else {}
    await unavailable(provider.open(**address), UNREACHABLE[provider.name])
    await unavailable(provider.create({**provider.settings, **address}), UNREACHABLE[provider.name])


@every
async def test_nothing_is_logged_and_nothing_prints(
    provider: Provider, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    keyring, key_id = await provider.open(), uuid7()
    wrapped = await keyring.wrap(KEY, key_id)
    await keyring.unwrap(wrapped, key_id)
    await unavailable(keyring.unwrap(wrapped, uuid7()))
    # The simulators' own servers run in this process.
    records = [record for record in caplog.records if not record.name.startswith(("werkzeug", "moto", "asyncio"))]
    assert records == []
    assert TOKEN not in repr(keyring) and str(KEY) not in repr(keyring)
    for part in vars(keyring).values():
        assert TOKEN not in repr(part)


@pytest.mark.parametrize("value", ["", "File", "vault", "file:x", "env:x", "aws-kms", "aws-kms:", "vault-transit:x"])
async def test_an_unknown_keyring_stops_the_start(value: str) -> None:
    given = {"vault_addr": "https://vault.example", "vault_token": TOKEN} if value.startswith("vault-t") else {}
    with pytest.raises(ConfigurationError, match="VALUEAPI_KEYRING"):
        await open_keyring(GovernanceSettings(keyring=value, **given))


@pytest.mark.parametrize(
    ("keyring", "name", "value"),
    [
        ("file", "root_keys", root_keys()),
        ("file", "vault_addr", "https://vault.example"),
        ("env", "key_file", Path("/nowhere")),
        ("aws-kms:alias/x", "vault_token", TOKEN),
    ],
    ids=range(4),
)
async def test_a_setting_of_another_keyring_stops_the_start(keyring: str, name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"VALUEAPI_{name.upper()} is set, but VALUEAPI_KEYRING isn't"):
        await open_keyring(GovernanceSettings(**{"keyring": keyring, name: value}))


# AWS KMS


def test_boto3_is_loaded_for_kms_alone() -> None:
    program = "import sys, router.app.stores; sys.exit('boto3' in sys.modules or 'botocore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


async def test_kms_root_keys_are_tagged_keys_behind_one_alias(aws: str) -> None:
    alias = f"alias/valueapi-{uuid.uuid4()}"
    settings = GovernanceSettings(keyring=f"aws-kms:{alias}", kms_deletion_days=30)
    with pytest.raises(ConfigurationError, match="migrate"):
        await open_keyring(settings)
    keyring = await create_keyring(settings)
    first = keyring.current
    assert (await create_keyring(settings)).current == first
    twins = GovernanceSettings(keyring=f"aws-kms:{alias}-twins")
    one, other = await asyncio.gather(create_keyring(twins), create_keyring(twins))
    assert one.current == other.current
    await keyring.rotate()
    client = boto3.client("kms")
    for root in await keyring.root_ids():
        assert client.list_resource_tags(KeyId=str(root))["Tags"] == [{"TagKey": "valueapi:keyring", "TagValue": alias}]
    foreign = client.create_key()["KeyMetadata"]["KeyId"]
    with pytest.raises(Conflict, match="by hand"):
        await keyring.destroy(UUID(foreign))
    assert client.describe_key(KeyId=foreign)["KeyMetadata"]["KeyState"] == "Enabled"
    at = (await keyring.destroy(first)).at
    assert at is not None and at - clock.now() > timedelta(days=29)
    await keyring.aclose()


async def test_a_kms_key_made_by_hand_is_adopted_at_its_rotation(aws: str) -> None:
    client, alias = boto3.client("kms"), f"alias/by-hand-{uuid.uuid4()}"
    key = client.create_key(KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]
    client.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
    by_alias_arn = key["Arn"].rpartition(":")[0] + ":" + alias
    keyring = await create_keyring(GovernanceSettings(keyring=f"aws-kms:{by_alias_arn}"))
    assert keyring.current == UUID(key["KeyId"])
    await keyring.rotate()
    assert (await keyring.root_ids())[UUID(key["KeyId"])] is RootState.OLD
    pinned = await open_keyring(GovernanceSettings(keyring=f"aws-kms:{key['Arn']}"))
    assert await pinned.root_ids() == {UUID(key["KeyId"]): RootState.CURRENT}
    with pytest.raises(Conflict, match="only an alias"):
        await pinned.rotate()


async def test_a_disabled_kms_key_is_named(aws: str) -> None:
    settings, key_id = GovernanceSettings(keyring=f"aws-kms:alias/valueapi-{uuid.uuid4()}"), uuid7()
    keyring = await create_keyring(settings)
    wrapped = await keyring.wrap(KEY, key_id)
    boto3.client("kms").disable_key(KeyId=str(keyring.current))
    await unavailable(keyring.unwrap(wrapped, key_id), "disabled")
    await unavailable(open_keyring(settings), "disabled")
    assert await keyring.root_ids() == {keyring.current: RootState.UNAVAILABLE}


@pytest.mark.parametrize("options", [{"Origin": "EXTERNAL"}, {"MultiRegion": True}, {"KeySpec": "RSA_2048"}], ids=str)
async def test_a_kms_key_that_could_outlive_its_deletion_is_refused(aws: str, options: dict[str, Any]) -> None:
    client, alias = boto3.client("kms"), f"alias/valueapi-{uuid.uuid4()}"
    usage = {"KeyUsage": "ENCRYPT_DECRYPT"}
    client.create_alias(AliasName=alias, TargetKeyId=client.create_key(**usage, **options)["KeyMetadata"]["KeyId"])
    with pytest.raises(ConfigurationError, match="The KMS key must be"):
        await open_keyring(GovernanceSettings(keyring=f"aws-kms:{alias}"))


@pytest.mark.parametrize(("variable", "value"), [("AWS_ENDPOINT_URL_KMS", "http://kms.example")])
async def test_kms_in_clear_is_refused(aws: str, monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match="https"):
        await open_keyring(GovernanceSettings(keyring="aws-kms:alias/x"))


async def test_kms_without_credentials_is_a_sentence(aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    await unavailable(open_keyring(GovernanceSettings(keyring="aws-kms:alias/x")), "no credentials")


# Vault and OpenBao


def vault(simulator: TransitSimulator, **changes: Any) -> GovernanceSettings:
    given = {"keyring": "vault-transit:transit/valueapi", "vault_addr": simulator.url, "vault_token": TOKEN}
    return GovernanceSettings(**{**given, **changes})


async def test_a_transit_key_is_made_by_migration_alone(transit: TransitSimulator) -> None:
    with pytest.raises(ConfigurationError, match="migrate"):
        await open_keyring(vault(transit))
    assert transit.keys == {}
    await (await create_keyring(vault(transit))).aclose()
    await (await create_keyring(vault(transit))).aclose()
    assert transit.keys["valueapi"].latest == 1


async def test_transit_trims_from_the_oldest_up(transit: TransitSimulator) -> None:
    keyring = await create_keyring(vault(transit))
    first = keyring.current
    second = await keyring.rotate()
    await keyring.rotate()
    with pytest.raises(Conflict, match="oldest"):
        await keyring.destroy(second)
    assert set(transit.keys["valueapi"].versions) == {1, 2, 3}
    await keyring.destroy(first)
    assert set(transit.keys["valueapi"].versions) == {2, 3}
    await keyring.destroy(second)
    assert set(transit.keys["valueapi"].versions) == {3}
    assert await keyring.root_ids() == {keyring.current: RootState.CURRENT}
    await keyring.aclose()


async def test_a_destruction_cut_short_in_vault_is_finished_by_the_next(transit: TransitSimulator) -> None:
    keyring, key_id = await create_keyring(vault(transit)), uuid7()
    first, wrapped = keyring.current, await keyring.wrap(KEY, key_id)
    await keyring.rotate()
    transit.keys["valueapi"].config({"min_decryption_version": 2, "min_encryption_version": 2})
    await unavailable(keyring.unwrap(wrapped, key_id), "min_decryption_version")
    assert (await keyring.root_ids())[first] is RootState.UNAVAILABLE
    assert (await keyring.destroy(first)).at is not None
    await unavailable(keyring.unwrap(wrapped, key_id), "trimmed")
    await keyring.aclose()


async def test_a_transit_key_that_was_made_anew_opens_nothing(transit: TransitSimulator) -> None:
    keyring, key_id = await create_keyring(vault(transit)), uuid7()
    wrapped = await keyring.wrap(KEY, key_id)
    await keyring.rotate()
    late = await keyring.wrap(KEY, key_id)
    del transit.keys["valueapi"]
    await unavailable(keyring.unwrap(wrapped, key_id), "doesn't have the transit key")
    await unavailable(keyring.wrap(KEY, key_id), "gone")
    await (await create_keyring(vault(transit))).aclose()
    await unavailable(keyring.unwrap(wrapped, key_id), "another one")
    await unavailable(keyring.unwrap(late, key_id), "doesn't hold")
    await keyring.aclose()


@pytest.mark.parametrize(
    ("status", "match"), [(503, "sealed"), (500, "answered 500"), (307, "answered 307"), (200, "can't be read")]
)
async def test_vault_in_trouble_is_a_sentence(transit: TransitSimulator, status: int, match: str) -> None:
    keyring, key_id = await create_keyring(vault(transit)), uuid7()
    wrapped = await keyring.wrap(KEY, key_id)
    transit.status = status
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: keyring.unwrap(wrapped, key_id),
        lambda: keyring.wrap(KEY, key_id),
        keyring.root_ids,
        lambda: open_keyring(vault(transit)),
    ]
    for call in calls:
        await unavailable(call(), match)
    await keyring.aclose()


async def test_a_wrong_token_is_refused_and_a_renewed_file_counts(transit: TransitSimulator, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    settings = vault(transit, vault_token=None, vault_token_file=file, vault_namespace="team")
    keyring = await create_keyring(settings)
    assert transit.namespaces == {"team"}
    transit.token = "hvs.the-next-one"
    await unavailable(keyring.wrap(KEY, uuid7()), "token has ended")
    file.write_text(transit.token)
    await keyring.wrap(KEY, uuid7())
    for content in ("", "a\nb"):
        file.write_text(content)
        await unavailable(keyring.wrap(KEY, uuid7()), "token is empty")
    file.unlink()
    await unavailable(keyring.wrap(KEY, uuid7()), "VAULT_TOKEN_FILE")
    await keyring.aclose()


@pytest.mark.parametrize(
    "options",
    [{"exportable": True}, {"allow_plaintext_backup": True}, {"derived": True}, {"type": "rsa-4096"}],
    ids=str,
)
async def test_a_transit_key_that_could_outlive_its_trimming_is_refused(
    transit: TransitSimulator, options: dict[str, Any]
) -> None:
    transit.answer("POST", "/v1/transit/keys/valueapi", options)
    with pytest.raises(ConfigurationError, match="The transit key"):
        await open_keyring(vault(transit))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"vault_addr": "http://vault.example"}, "must be https"),
        ({"vault_addr": None}, "needs VALUEAPI_VAULT_ADDR"),
        ({"vault_token": None}, "needs one of"),
        ({"vault_token_file": Path("/nowhere")}, "needs one of"),
        ({"vault_cacert": Path("/nowhere")}, "VALUEAPI_VAULT_CACERT"),
    ],
    ids=str,
)
async def test_an_unfinished_vault_setting_stops_the_start(
    transit: TransitSimulator, changes: dict[str, Any], match: str
) -> None:
    with pytest.raises(ConfigurationError, match=match):
        await open_keyring(vault(transit, **changes))
    assert transit.calls == []


@pytest.mark.parametrize(
    ("keys_url", "alone", "rolls"),
    [
        (None, None, True),
        ("postgresql://a@h/k", None, False),
        ("postgresql://a@h/k", "true", True),
        (None, "false", False),
    ],
)
async def test_a_key_file_that_other_machines_may_have_is_replaced_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys_url: str | None, alone: str | None, rolls: bool
) -> None:
    """A copy of the file elsewhere would lack the new root key, and open nothing."""
    monkeypatch.setenv("VALUEAPI_HOME", str(tmp_path))
    for name, value in (("KEYS_URL", keys_url), ("KEY_FILE_ALONE", alone)):
        if value is not None:
            monkeypatch.setenv(f"VALUEAPI_{name}", value)
    keyring = await create_keyring(GovernanceSettings.load())
    assert (keyring.root_lifetime is not None) == rolls
    assert ("several machines" in keyring.destruction) != rolls
