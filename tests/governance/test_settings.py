"""A setting that isn't known or contradicts another stops start-up with a sentence that names it."""

from pathlib import Path

import pytest

from governance.errors import ConfigurationError
from router.settings import Settings


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "HOST", "PORT", "MODE", "DATABASE_URL", "KEYS_URL", "REDIS_URL", "CONFIG"):
        monkeypatch.delenv(f"VALUEAPI_{name}", raising=False)


def test_defaults_are_an_embedded_home(tmp_path: Path) -> None:
    settings = Settings.load()
    assert settings.data_store() == f"sqlite+aiosqlite:///{tmp_path}/var/data/valueapi.db"
    assert settings.key_store() == f"sqlite+aiosqlite:///{tmp_path}/var/keys/keys.db"
    settings.make_folders()
    assert {folder.stat().st_mode & 0o777 for folder in settings.folders()} == {0o700}


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"VALUEAPI_PROT": "1"}, "Unknown setting VALUEAPI_PROT"),
        ({"VALUEAPI_PORT": "s3cret"}, "VALUEAPI_PORT"),
        ({"VALUEAPI_MODE": "s3cret"}, "VALUEAPI_MODE"),
        ({"VALUEAPI_TLS_CERT": "/etc/hostname"}, "VALUEAPI_TLS_KEY go together"),
        ({"VALUEAPI_MODE": "production", "VALUEAPI_SIMULATOR": "on"}, "contradicts VALUEAPI_MODE"),
        ({"VALUEAPI_TRUSTED_PROXIES": "10.0.0.0/8,s3cret"}, "VALUEAPI_TRUSTED_PROXIES"),
        ({"VALUEAPI_MAILGUN_KEY": "s3cret"}, "VALUEAPI_MAILGUN_DOMAIN go together"),
        ({"VALUEAPI_PROVIDERS": "s3cret.yaml"}, "VALUEAPI_PROVIDERS names a file"),
        ({"VALUEAPI_SELF_PROBE_EVERY": "s3cret"}, "VALUEAPI_SELF_PROBE_EVERY"),
        ({"VALUEAPI_SELF_PROBE_EVERY": "P1D"}, "VALUEAPI_SELF_PROBE_MAX_AGE must be longer"),
        ({"VALUEAPI_SELF_PROBE_EVERY": "PT0S"}, "VALUEAPI_SELF_PROBE_MAX_AGE must be longer"),
        ({"VALUEAPI_SELF_PROBE_MAX_AGE": "off"}, "VALUEAPI_SELF_PROBE_MAX_AGE"),
        ({"VALUEAPI_CONFIG": "s3cret.yaml"}, "VALUEAPI_CONFIG names a file"),
    ],
)
def test_a_bad_setting_is_named_and_its_value_is_not(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], words: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=words) as caught:
        Settings.load()
    assert "s3cret" not in str(caught.value)


def test_both_stores_in_one_place_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VALUEAPI_DATABASE_URL", "postgresql://app@db/one")
    monkeypatch.setenv("VALUEAPI_KEYS_URL", "postgresql+asyncpg://app@db/one")
    with pytest.raises(ConfigurationError, match="same store"):
        Settings.load().key_store()


def test_another_database_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VALUEAPI_DATABASE_URL", "mysql://app:s3cret@db/one")
    with pytest.raises(ConfigurationError, match="VALUEAPI_DATABASE_URL must begin with") as caught:
        Settings.load().data_store()
    assert "s3cret" not in str(caught.value)


def test_the_yaml_file_is_read_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "v.yaml").write_text("port: 9001\nworkers: 2\n")
    monkeypatch.setenv("VALUEAPI_CONFIG", str(tmp_path / "v.yaml"))
    monkeypatch.setenv("VALUEAPI_PORT", "9002")
    settings = Settings.load()
    assert (settings.port, settings.workers) == (9002, 2)


@pytest.mark.parametrize(("text", "words"), [("prot: 1\n", "'prot'"), ("port: [", "YAML"), ("port: s3cret\n", "PORT")])
def test_a_bad_yaml_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "v.yaml").write_text(text)
    monkeypatch.setenv("VALUEAPI_CONFIG", str(tmp_path / "v.yaml"))
    with pytest.raises(ConfigurationError, match=words) as caught:
        Settings.load()
    assert "s3cret" not in str(caught.value)


def test_production_closes_on_a_leak_unless_it_is_told_not_to() -> None:
    assert not Settings().closes_on_leak and Settings(close_on_leak=True).closes_on_leak
    assert (
        Settings(mode="production").closes_on_leak
        and not Settings(mode="production", close_on_leak=False).closes_on_leak
    )


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("::1", "http://[::1]:80"),
        ("10.0.0.1", "http://10.0.0.1:80"),
    ],
)
def test_the_own_socket_is_reached_past_any_proxy(host: str, url: str) -> None:
    assert Settings(host=host, port=80, public_url="https://api.example").own_url() == url
