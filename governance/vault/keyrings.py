"""Opens the keyring that `VALUEAPI_KEYRING` names: `file`, `env`, `aws-kms:ALIAS_OR_ARN` or `vault-transit:MOUNT/KEY`."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from governance.errors import ConfigurationError, KeyUnavailable
from governance.settings import PREFIX, GovernanceSettings
from governance.vault.keyring import Keyring
from governance.vault.keyring_env import EnvironmentKeyring
from governance.vault.keyring_file import FileKeyring

# Settings that mean one keyring alone. With another they are a mistake: a forgotten VALUEAPI_KEYRING would quietly make
# a key file where Vault was meant.
_OF: Final = {
    "key_file": "file",
    "key_file_alone": "file",
    "root_keys": "env",
    "vault_addr": "vault-transit",
    "vault_token": "vault-transit",
    "vault_token_file": "vault-transit",
    "vault_namespace": "vault-transit",
    "vault_cacert": "vault-transit",
}


async def open_keyring(settings: GovernanceSettings) -> Keyring:
    """Raises ConfigurationError where it can't serve, KeyUnavailable where its provider can't be reached or refuses."""
    return await _keyring(settings, create=False)


async def create_keyring(settings: GovernanceSettings) -> Keyring:
    """The same, with a first root key made where there is none."""
    return await _keyring(settings, create=True)


async def _keyring(settings: GovernanceSettings, *, create: bool) -> Keyring:
    kind, _, target = settings.keyring.partition(":")
    for name, of in _OF.items():
        if of != kind and getattr(settings, name) is not None:
            raise ConfigurationError(f"{PREFIX}{name.upper()} is set, but {PREFIX}KEYRING isn't {of}.")
    if kind == "file" and not target:
        path = settings.root_key_file()
        keyring = FileKeyring.create(path) if create else FileKeyring(path)
        alone = settings.key_file_alone
        if not (settings.key_store().startswith("sqlite") if alone is None else alone):
            # Another machine's copy of the file would lack the new root key: there it is replaced by hand.
            keyring.root_lifetime = None
            keyring.destruction = (
                "The key file is one of several machines': its root key is replaced by hand, by `valueapi keys rotate kek` and "
                "a copy of the file to each of them. " + FileKeyring.destruction
            )
        return keyring
    if kind == "env" and not target:
        if settings.root_keys is None:
            raise ConfigurationError("VALUEAPI_KEYRING=env needs VALUEAPI_ROOT_KEYS.")
        return EnvironmentKeyring(settings.root_keys.get_secret_value())
    if kind == "aws-kms":
        from governance.vault.keyring_kms import AwsKmsKeyring

        return await AwsKmsKeyring.open(target, settings.kms_deletion_days, create=create)
    if kind == "vault-transit":
        from governance.vault.keyring_transit import Access, VaultTransitKeyring

        if settings.vault_addr is None:
            raise ConfigurationError("VALUEAPI_KEYRING=vault-transit needs VALUEAPI_VAULT_ADDR.")
        token = _token(settings.vault_token, settings.vault_token_file)
        access = Access(settings.vault_addr, token, settings.vault_namespace, settings.vault_cacert)
        return await VaultTransitKeyring.open(target, access, create=create)
    raise ConfigurationError(
        "VALUEAPI_KEYRING names no keyring: it is file, env, aws-kms:ALIAS_OR_ARN or vault-transit:MOUNT/KEY."
    )


def _token(token: SecretStr | None, file: Path | None) -> Callable[[], str]:
    if (token is None) == (file is None):
        raise ConfigurationError(
            "VALUEAPI_KEYRING=vault-transit needs one of VALUEAPI_VAULT_TOKEN and VALUEAPI_VAULT_TOKEN_FILE."
        )

    def read() -> str:
        try:
            text = token.get_secret_value() if token is not None else Path(str(file)).read_text("ascii").strip()
        except (OSError, ValueError):
            raise KeyUnavailable("The file of VALUEAPI_VAULT_TOKEN_FILE can't be read.") from None
        if not text or not (text.isascii() and text.isprintable()):
            raise KeyUnavailable("The Vault token is empty, or can't stand in a header.")
        return text

    return read
