"""Root keys in AWS KMS, which never leave it: Encrypt and Decrypt with the wrapped key's id as encryption context.

KMS can't destroy one version of a key, so each root epoch is a KMS key of its own. The configured alias points to the
current one; each has a further alias `ALIAS/KEY-ID`, by which the keyring finds its own keys, and a tag for people and
IAM conditions. API: docs.aws.amazon.com/kms/latest/APIReference.

Imported at first use, since boto3 costs start-up time. Its loggers, which print requests and answers with plaintext keys
at DEBUG, are silenced.
"""

import asyncio
import logging
import re
from datetime import UTC, timedelta
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

import boto3  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

from governance import outbound
from governance.errors import ConfigurationError, Conflict, KeyGone, KeyUnavailable
from governance.vault import keyring
from governance.vault.keyring import Destruction, RootState

_TIMEOUT_S: Final = 5
_ATTEMPTS: Final = 3
_TAG: Final = "valueapi:keyring"
_ALIAS: Final = r"alias/[A-Za-z0-9/_-]{1,200}"
_TARGET: Final = re.compile(
    rf"{_ALIAS}|arn:aws[a-z-]*:kms:(?P<region>[a-z0-9-]+):[0-9]{{12}}:({_ALIAS}|key/[a-f0-9-]{{36}})"
)
_CLOSED: Final = frozenset({"KMSInvalidStateException", "DisabledException"})
_STATES: Final = {"Enabled": RootState.OLD, "PendingDeletion": RootState.DESTROYING}


class _Refused(KeyUnavailable):
    """KMS answered with an error; `code` is its name, made of letters and digits alone."""

    def __init__(self, code: str) -> None:
        self.code = code if re.fullmatch(r"[A-Za-z0-9]{1,64}", code) else "unknown error"
        super().__init__(f"AWS KMS refused ({self.code}).")


class AwsKmsKeyring:
    """Root keys in AWS KMS behind an alias. Region and credentials come from where AWS clients look for them."""

    name = "aws-kms"
    destruction = (
        "AWS KMS destroys a root key when its waiting window of 7 to 30 days has passed. Until then it opens nothing, but "
        "whoever may cancel the deletion can bring it back."
    )
    root_lifetime: timedelta | None = timedelta(days=1)

    def __init__(self, client: Any, target: str, window_days: int, key_arn: str) -> None:
        self._client = client
        self._target = target
        self._window_days = window_days
        self._arn_head, _, current = key_arn.rpartition("/")
        self._current = UUID(current)

    @classmethod
    async def open(cls, target: str, window_days: int, *, create: bool = False) -> "AwsKmsKeyring":
        """Find the current root key; with `create`, make a first one and the alias where there is none.

        Raises ConfigurationError where the key can't serve, KeyUnavailable where KMS can't be reached or refuses.
        """
        found = _TARGET.fullmatch(target)
        if found is None:
            raise ConfigurationError("VALUEAPI_KEYRING=aws-kms: needs `alias/NAME`, or the ARN of an alias or a key.")
        client = await asyncio.to_thread(_client, found["region"])
        try:
            key = await _described(client, target)
        except _Refused as error:
            if error.code != "NotFoundException":
                raise
            if not create:
                raise ConfigurationError(
                    "AWS KMS doesn't have the key that VALUEAPI_KEYRING names: run `valueapi migrate`."
                ) from None
            alias = _alias(target)
            first = (await _create_key(client, alias))["KeyId"]
            # A crash here leaves a key that nothing names: harmless, and the tag shows whose it is.
            await _create_alias(client, alias, first)
            # Two first starts agree on the key that the alias got.
            key = await _described(client, target)
        _check(key)
        return cls(client, target, window_days, key["Arn"])

    @property
    def current(self) -> UUID:
        return self._current

    async def wrap(self, key: bytes, key_id: UUID) -> bytes:
        # By alias: the answer says which key it was, so another process's rotation counts here at once.
        answer = await _call(
            self._client, "encrypt", KeyId=self._target, Plaintext=key, EncryptionContext={"key_id": str(key_id)}
        )
        self._current = UUID(answer["KeyId"].rpartition("/")[2])
        return keyring.from_service(self._current, answer["CiphertextBlob"])

    async def unwrap(self, wrapped: bytes, key_id: UUID) -> bytes:
        root, ciphertext = keyring.to_service(wrapped)
        try:
            answer = await _call(
                self._client,
                "decrypt",
                KeyId=self._arn(root),
                CiphertextBlob=ciphertext,
                EncryptionContext={"key_id": str(key_id)},
            )
        except _Refused as error:
            if error.code == "NotFoundException":
                raise KeyUnavailable("A stored key is wrapped under a root key that AWS KMS doesn't hold.") from None
            if error.code in ("InvalidCiphertextException", "IncorrectKeyException"):
                raise KeyUnavailable(
                    "A stored key can't be unwrapped: it was altered, or isn't of this keyring."
                ) from None
            if error.code in _CLOSED:
                raise KeyUnavailable(
                    "A stored key is wrapped under a root key that is disabled or scheduled for deletion in AWS KMS."
                ) from None
            raise
        return bytes(answer["Plaintext"])

    async def root_ids(self) -> dict[UUID, RootState]:
        current = UUID((await _described(self._client, self._target))["KeyId"])
        keys = []
        for root in {*await self._epochs(), current}:
            try:
                keys.append(await _described(self._client, self._arn(root)))
            except _Refused as error:
                # Destroyed since the list was made.
                if error.code != "NotFoundException":
                    raise
        found = {}
        for key in sorted(keys, key=lambda key: key["CreationDate"]):
            root, state = UUID(key["KeyId"]), _STATES.get(key["KeyState"], RootState.UNAVAILABLE)
            found[root] = RootState.CURRENT if root == current and state is RootState.OLD else state
        self._current = current
        return found

    async def rotate(self) -> UUID:
        alias = _alias(self._target)
        old = (await _described(self._client, self._target))["KeyId"]
        new = (await _create_key(self._client, alias))["KeyId"]
        # A crash here leaves a key that nothing names; after the next two lines, one that `root_ids` lists as old.
        await _create_alias(self._client, f"{alias}/{old}", old)
        await _create_alias(self._client, f"{alias}/{new}", new)
        await _call(self._client, "update_alias", AliasName=alias, TargetKeyId=new)
        self._current = UUID(new)
        return self._current

    async def destroy(self, root_id: UUID) -> Destruction:
        # Only keys of this keyring: the account may hold others.
        state = (await self.root_ids()).get(root_id)
        if root_id == self._current:
            raise Conflict("The current root key can't be destroyed: rotate first.")
        if state is None:
            await self._refuse_unlisted(root_id)
        if state is not RootState.DESTROYING:
            days = self._window_days
            await _call(self._client, "schedule_key_deletion", KeyId=str(root_id), PendingWindowInDays=days)
        at = (await _described(self._client, self._arn(root_id)))["DeletionDate"]
        return Destruction(at.astimezone(UTC), self.destruction)

    async def _refuse_unlisted(self, root_id: UUID) -> None:
        """A key without its alias is gone, or isn't known to be ours: then it must not look destroyed."""
        try:
            await _described(self._client, self._arn(root_id))
        except _Refused as error:
            if error.code == "NotFoundException":
                raise KeyGone("AWS KMS doesn't hold this root key.") from None
            raise
        raise Conflict("AWS KMS holds this key, and not as a root key of this keyring: delete it by hand.")

    async def aclose(self) -> None:
        await asyncio.to_thread(self._client.close)

    def _arn(self, root: UUID) -> str:
        return f"{self._arn_head}/{root}"

    async def _epochs(self) -> set[UUID]:
        """Root keys by their aliases `ALIAS/KEY-ID`; none where the settings name a key itself."""
        head = self._target.rpartition(":")[2] + "/"
        found: set[UUID] = set()
        more: dict[str, str] = {}
        while True:
            page = await _call(self._client, "list_aliases", Limit=100, **more)
            for entry in page["Aliases"]:
                if entry["AliasName"].startswith(head) and entry["AliasName"] == head + entry.get("TargetKeyId", ""):
                    found.add(UUID(entry["TargetKeyId"]))
            if not page.get("Truncated"):
                return found
            more = {"Marker": page["NextMarker"]}

    def __repr__(self) -> str:
        return f"<AwsKmsKeyring {self._current}>"


def _client(region: str | None) -> Any:
    for name in ("boto3", "botocore", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    config = Config(
        connect_timeout=_TIMEOUT_S,
        read_timeout=_TIMEOUT_S,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
    )
    try:
        client = boto3.session.Session().client("kms", region_name=region, config=config)
    except (BotoCoreError, ValueError):
        raise ConfigurationError(
            "AWS KMS can't be set up: set AWS_REGION or name an ARN, and check the AWS profile."
        ) from None
    if not keyring.is_private(client.meta.endpoint_url):
        raise ConfigurationError("The AWS KMS endpoint must be https (plain http only to this machine).")
    return client


async def _call(client: Any, operation: str, **parameters: Any) -> Any:
    """One API call in a thread. What the client raises may quote the request, so its error code alone goes on."""
    outbound.saw(urlsplit(client.meta.endpoint_url).hostname or "")
    try:
        return await asyncio.to_thread(getattr(client, operation), **parameters)
    except ClientError as error:
        raise _Refused(str(error.response.get("Error", {}).get("Code", ""))) from None
    except BotoCoreError as error:
        raise KeyUnavailable(
            f"AWS KMS can't be reached, or no credentials were found ({type(error).__name__})."
        ) from None


async def _described(client: Any, key: str) -> dict[str, Any]:
    metadata: dict[str, Any] = (await _call(client, "describe_key", KeyId=key))["KeyMetadata"]
    return metadata


async def _create_key(client: Any, alias: str) -> dict[str, Any]:
    answer = await _call(
        client,
        "create_key",
        Description="ValueAPI root key",
        KeySpec="SYMMETRIC_DEFAULT",
        KeyUsage="ENCRYPT_DECRYPT",
        Tags=[{"TagKey": _TAG, "TagValue": alias}],
    )
    metadata: dict[str, Any] = answer["KeyMetadata"]
    return metadata


async def _create_alias(client: Any, alias: str, key: str) -> None:
    """Unless it exists already, for whichever key."""
    try:
        await _call(client, "create_alias", AliasName=alias, TargetKeyId=key)
    except _Refused as error:
        if error.code != "AlreadyExistsException":
            raise


def _alias(target: str) -> str:
    alias = target.rpartition(":")[2]
    if not alias.startswith("alias/"):
        raise Conflict("VALUEAPI_KEYRING names one KMS key: only an alias can be moved to a new one.")
    return alias


def _check(key: dict[str, Any]) -> None:
    """Refuse keys whose destruction wouldn't be what `destruction` says, or that can't wrap."""
    if key.get("KeySpec", "SYMMETRIC_DEFAULT") != "SYMMETRIC_DEFAULT" or key.get("KeyUsage") != "ENCRYPT_DECRYPT":
        raise ConfigurationError("The KMS key must be symmetric and for encryption.")
    if key.get("Origin", "AWS_KMS") != "AWS_KMS" or key.get("MultiRegion", False):
        raise ConfigurationError(
            "The KMS key must be made by AWS KMS in one Region: other copies outlive its deletion."
        )
    if key["KeyState"] != "Enabled":
        raise KeyUnavailable("The root key in AWS KMS is disabled or scheduled for deletion.")
