"""Key channels and processes on them; key services on sockets: KMS by moto, transit by its simulator."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.core.exceptions import JsonRESTError
from moto.kms.models import KmsBackend
from moto.server import ThreadedMotoServer

from governance.datamap import KeysBase
from governance.db import Database
from tests.governance.vault.channel_driver import Process
from tests.simulators.transit import TransitSimulator

TOKEN = "hvs.a-token-that-must-not-show"
KMS_SECRET = "aws-secret-that-must-not-show"


@pytest.fixture
async def postgres_keys(fresh_postgres: str) -> str:
    """URL of a key store on PostgreSQL, its tables made."""
    database = Database(fresh_postgres)
    async with database.engine.begin() as connection:
        await connection.run_sync(KeysBase.metadata.create_all)
    await database.aclose()
    return fresh_postgres


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """`start(role, url, *rest)`: a process on the channel of that key store; ended with the test."""
    started: list[Process] = []

    def begin(role: str, url: str, *rest: str) -> Process:
        started.append(Process(role, url, tmp_path / "run", *rest))
        return started[-1]

    yield begin
    for process in started:
        process.kill()


class _Closed(JsonRESTError):
    """What KMS answers for a key in another state (docs.aws.amazon.com/kms/latest/developerguide/key-state.html)."""

    code = 400


def _minding_states(operation: Callable[..., Any]) -> Callable[..., Any]:
    """moto encrypts and decrypts with disabled and dying keys; KMS doesn't."""

    def minding(backend: KmsBackend, *arguments: Any, **options: Any) -> Any:
        state = backend.describe_key(options["key_id"]).key_state
        if state != "Enabled":
            raise _Closed("DisabledException" if state == "Disabled" else "KMSInvalidStateException", "secret detail")
        return operation(backend, *arguments, **options)

    return minding


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("encrypt", "decrypt"):
            patch.setattr(KmsBackend, name, _minding_states(getattr(KmsBackend, name)))
        server.start()
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
        server.stop()


@pytest.fixture
def transit() -> Iterator[TransitSimulator]:
    with TransitSimulator(token=TOKEN) as simulator:
        yield simulator


@pytest.fixture
def aws(moto: str, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in {
        "AWS_ENDPOINT_URL_KMS": moto,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": KMS_SECRET,
        "AWS_REGION": "eu-central-1",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    return moto
