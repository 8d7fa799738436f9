"""Key references: what is read, what is refused, and that no key is ever shown."""

import copy
import http.server
import json
import logging
import os
import pickle
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from router.providers import secrets
from router.providers.secrets import KeyRef, KeyUnresolved, Secret, VaultRef, resolve

KEY = "sk-secret-4242"


def refused(ref: KeyRef, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(KeyUnresolved) as error:
        resolve(ref, environ or {})
    assert KEY not in str(error.value) and error.value.__cause__ is None
    return str(error.value)


def test_secret_has_no_text_form() -> None:
    secret = Secret(KEY)
    shown = f"{secret} {secret!r} {secret:>20} {[secret]} %s" % secret
    assert KEY not in shown and "***" in shown and secret.reveal() == KEY
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            leak(secret)


def test_env() -> None:
    assert resolve(KeyRef(env="A_KEY"), {"A_KEY": f" {KEY}\n"}).reveal() == KEY
    assert "not set" in refused(KeyRef(env="A_KEY"))
    assert "not set" in refused(KeyRef(env="A_KEY"), {"A_KEY": "  "})


@pytest.mark.parametrize("value", [f"{KEY}\r\nx-evil: 1", f"{KEY} {KEY}", f"{KEY}\x00", "kéy"])
def test_key_that_would_break_a_header(value: str) -> None:
    assert "header" in refused(KeyRef(env="A_KEY"), {"A_KEY": value})


def test_file_must_be_ours_alone(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(KEY + "\n")
    file.chmod(0o600)
    ref = KeyRef(file=str(file))
    assert resolve(ref, {}).reveal() == KEY
    for mode in (0o640, 0o604, 0o620, 0o610):
        file.chmod(mode)
        assert "others" in refused(ref)
    file.chmod(0o600)
    file.write_text("")
    assert "empty" in refused(ref)
    file.write_text("x" * 20_000)
    assert "too long" in refused(ref)
    assert "regular" in refused(KeyRef(file=str(tmp_path)))
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert "regular" in refused(KeyRef(file=str(tmp_path / "pipe")))
    assert "can't be opened" in refused(KeyRef(file=str(tmp_path / "none")))


def test_literal_and_ambiguous_references_are_refused() -> None:
    for bad in (KEY, {"env": KEY}, {}, {"env": "A", "file": "/a"}, {"literal": KEY}, {"file": "relative"}):
        with pytest.raises(ValidationError) as error:
            KeyRef.model_validate(bad)
        assert KEY not in str(error.value.errors(include_input=False))
    assert str(KeyRef(env="A")) == "environment variable A"


class _Vault(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, _VaultServer)
        server.seen.append((self.path, self.headers.get("x-vault-token", "")))
        status, body = server.answer
        self.send_response(status)
        if status == 307:
            self.send_header("location", "/elsewhere")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class _VaultServer(http.server.ThreadingHTTPServer):
    seen: list[tuple[str, str]]
    answer: tuple[int, bytes]


@pytest.fixture
def vault() -> Iterator[_VaultServer]:
    server = _VaultServer(("127.0.0.1", 0), _Vault)
    server.seen, server.answer = [], (200, json.dumps({"data": {"data": {"api_key": KEY}, "metadata": {}}}).encode())
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_vault_kv2(vault: _VaultServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    caplog.set_level(logging.DEBUG)
    # A proxy in the environment must not get the token.
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    env = {"VAULT_ADDR": f"http://127.0.0.1:{vault.server_port}/", "VAULT_TOKEN": "tok-1"}
    ref = KeyRef(vault=VaultRef(path="providers/openai", field="api_key"))
    assert resolve(ref, env).reveal() == KEY
    assert vault.seen == [("/v1/secret/data/providers/openai", "tok-1")]
    assert "no such field" in refused(KeyRef(vault=VaultRef(path="p", field="other")), env)
    for answer, word in [
        ((403, KEY.encode()), "403"),
        ((200, b"<html>" + KEY.encode()), "no such field"),
        ((200, b'{"data": {"data": {"api_key": 7}}}'), "not a text"),
        ((307, b""), "307"),
    ]:
        vault.answer = answer
        assert word in refused(ref, env)
    assert "/elsewhere" not in [path for path, _ in vault.seen]
    assert KEY not in caplog.text and "tok-1" not in caplog.text


def test_vault_address() -> None:
    ref = KeyRef(vault=VaultRef(path="p", field="f"))
    assert "VAULT_ADDR" in refused(ref, {"VAULT_TOKEN": "t"})
    assert "https" in refused(ref, {"VAULT_ADDR": "http://vault.example", "VAULT_TOKEN": "t"})
    assert "reached" in refused(ref, {"VAULT_ADDR": "http://127.0.0.1:1", "VAULT_TOKEN": "t"})


def test_silent_vault_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "VAULT_TIMEOUT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        env = {"VAULT_ADDR": f"http://127.0.0.1:{silent.getsockname()[1]}", "VAULT_TOKEN": "t"}
        assert "reached" in refused(KeyRef(vault=VaultRef(path="p", field="f")), env)
