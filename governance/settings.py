"""Settings that every command honours: `VALUEAPI_…` in the environment, or one YAML file; the environment wins.

An unknown or contradictory setting stops start-up with a sentence that names it.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, YamlConfigSettingsSource

from governance.errors import ConfigurationError
from governance.period import Period

PREFIX = "VALUEAPI_"


def duration(text: str) -> str:
    """A setting's text that must be an ISO 8601 duration. Raises ValueError."""
    Period.parse(text)
    return text


class GovernanceSettings(BaseSettings):
    """Where things rest and which mode runs. Product settings extend this class (router/settings.py)."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", env_ignore_empty=True, hide_input_in_errors=True
    )

    config: Path | None = Field(
        None, description="A YAML file of settings; default $VALUEAPI_HOME/valueapi.yaml if it exists."
    )
    home: Path = Field(Path("var"), description="Folder of all state, mode 0700.")
    mode: Literal["development", "production"] = Field(
        "development", description="Production refuses first-run accounts, the simulator and plain-http upstreams."
    )
    database_url: SecretStr | None = Field(
        None, description="Data store: sqlite+aiosqlite:///… or postgresql+asyncpg://…; default a file in home/data."
    )
    keys_url: SecretStr | None = Field(
        None, description="Key store, apart from the data: same forms; default a file in home/keys."
    )
    redis_url: SecretStr | None = Field(None, description="Redis or Valkey for rate limits across machines.")
    openings_per_minute: int = Field(
        300,
        ge=1,
        description="People whose values one kind of work may open within a minute; more is an incident, twice as many are "
        "refused. Exports, notices and rotations are declared as such and not counted. For each process.",
    )
    keys_per_minute: int = Field(
        3000,
        ge=1,
        description="People whose keys one kind of work may take within a minute, callers of the API included, whose usage "
        "is sealed; more is an incident, twice as many are refused. For each process.",
    )
    index_renewal: Annotated[str, AfterValidator(duration)] = Field(
        "P1M",
        description="How often the key of the blind index is renewed, an ISO 8601 duration: old copies of the index can "
        "then no longer confirm an address.",
    )
    log_origin: str | None = Field(
        None,
        description="Name of the transparency log in its checkpoints, an address without scheme such as "
        "`api.example.com/transparency`; fixed when the log begins. Default: valueapi.invalid/ and a random id.",
    )
    keyring: str = Field(
        "file", description="Who holds the root key (KEK): file, env, aws-kms:ALIAS_OR_ARN or vault-transit:MOUNT/KEY."
    )
    key_file: Path | None = Field(None, description="Keyring file: its place, 0600; default home/keys/root.key.")
    key_file_alone: bool | None = Field(
        None,
        description="Keyring file: no other machine uses this key store, so the root key may be replaced with each "
        "destruction. Default: where the key store is SQLite.",
    )
    root_keys: SecretStr | None = Field(None, description="Keyring env: `id:base64,id:base64`, the current one first.")
    kms_deletion_days: int = Field(
        7, ge=7, le=30, description="Keyring aws-kms: waiting window of a destroyed root key."
    )
    vault_addr: str | None = Field(None, description="Keyring vault-transit: address, https unless on this machine.")
    vault_token: SecretStr | None = Field(None, description="Keyring vault-transit: token.")
    vault_token_file: Path | None = Field(
        None, description="Keyring vault-transit: file that holds the token, read at every call."
    )
    vault_namespace: str | None = Field(None, description="Keyring vault-transit: namespace.")
    vault_cacert: Path | None = Field(None, description="Keyring vault-transit: PEM certificates to trust.")

    @property
    def data_folder(self) -> Path:
        return self.home / "data"

    @property
    def keys_folder(self) -> Path:
        return self.home / "keys"

    @property
    def log_folder(self) -> Path:
        return self.home / "log"

    @property
    def run_folder(self) -> Path:
        return self.home / "run"

    @property
    def production(self) -> bool:
        return self.mode == "production"

    def data_store(self) -> str:
        """URL of the data store."""
        return (
            _url("database_url", self.database_url) or f"sqlite+aiosqlite:///{self.data_folder.absolute()}/valueapi.db"
        )

    def key_store(self) -> str:
        """URL of the key store. Raises ConfigurationError where both stores are one."""
        keys = _url("keys_url", self.keys_url) or f"sqlite+aiosqlite:///{self.keys_folder.absolute()}/keys.db"
        if keys == self.data_store():
            raise ConfigurationError(
                "VALUEAPI_KEYS_URL and VALUEAPI_DATABASE_URL name the same store: keys must live apart from the data."
            )
        return keys

    def root_key_file(self) -> Path:
        return self.key_file or self.keys_folder / "root.key"

    def folders(self) -> tuple[Path, ...]:
        """Every folder of the home that the service may write to."""
        return (self.home, self.data_folder, self.keys_folder, self.log_folder, self.run_folder)

    def store_files(self) -> tuple[Path, ...]:
        """The stores that are SQLite files, where they really lie: SQLite makes its log beside them."""
        urls = (self.data_store(), self.key_store())
        return tuple(Path(url.split(":///", 1)[1]).resolve() for url in urls if url.startswith("sqlite"))

    def writable_folders(self) -> tuple[Path, ...]:
        """Every folder that the service may write to, wherever settings put it."""
        # A key file is never changed in place: a new one is made beside it.
        files = [*self.store_files(), *([self.root_key_file().resolve()] if self.keyring == "file" else [])]
        return tuple(dict.fromkeys([*self.folders(), *(file.parent for file in files)]))

    def make_folders(self) -> None:
        """Create them, readable by the owner alone; an existing home that others may read is closed to them."""
        for folder in self.folders():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            folder.chmod(0o700)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = _config_file()
        if file is None:
            return (init_settings, env_settings)
        return (init_settings, env_settings, YamlConfigSettingsSource(settings_cls, yaml_file=file))

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Read and check everything. Raises ConfigurationError, a sentence per fault that names the setting, not its value."""
        known = {PREFIX + name.upper() for name in cls.model_fields}
        unknown = sorted(name for name in os.environ if name.upper().startswith(PREFIX) and name.upper() not in known)
        if unknown:
            raise ConfigurationError(
                f"Unknown setting {unknown[0]}: `valueapi doctor --settings` lists those that exist."
            )
        try:
            return cls(**overrides)
        except ValidationError as error:
            raise ConfigurationError(" ".join(_sentence(fault) for fault in error.errors())) from None
        except (OSError, ValueError, yaml.YAMLError):
            raise ConfigurationError("The settings file named by VALUEAPI_CONFIG can't be read as YAML.") from None


def _sentence(fault: Any) -> str:
    where = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"Unknown setting {where!r} in the settings file."
    if not where:
        return str(fault["msg"]).removeprefix("Value error, ")
    return f"Setting {PREFIX}{where.upper()}: {str(fault['msg']).removeprefix('Value error, ')}."


def _config_file() -> Path | None:
    named = os.environ.get(PREFIX + "CONFIG")
    if named:
        if not Path(named).is_file():
            raise ConfigurationError("VALUEAPI_CONFIG names a file that doesn't exist.")
        return Path(named)
    default = Path(os.environ.get(PREFIX + "HOME") or "var") / "valueapi.yaml"
    return default if default.is_file() else None


def _url(name: str, value: SecretStr | None) -> str | None:
    if value is None:
        return None
    url = value.get_secret_value()
    # The plain form that every other tool takes is accepted too.
    if url.startswith("postgresql://"):
        url = "postgresql+asyncpg://" + url.removeprefix("postgresql://")
    elif url.startswith("sqlite:///"):
        url = "sqlite+aiosqlite:///" + url.removeprefix("sqlite:///")
    if not url.startswith(("postgresql+asyncpg://", "sqlite+aiosqlite:///")):
        raise ConfigurationError(f"{PREFIX}{name.upper()} must begin with postgresql:// or sqlite:///.")
    return url
