"""Signed statements that anybody can check: an in-toto Statement (v1) in a DSSE envelope, Ed25519 (RFC 8032), and the
public keys as a JWK set (RFC 7517, RFC 8037).

in-toto: github.com/in-toto/attestation, spec/v1/statement.md. DSSE: github.com/secure-systems-lab/dsse, protocol.md.
Every key that ever signed stays in the set, so that an attestation outlives the rotation of its key.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import String, select
from sqlalchemy.orm import Mapped

from governance import clock
from governance.datamap import Base, DataUse, impersonal
from governance.db import Database, UtcDateTime, add_once
from governance.errors import SealBroken
from governance.vault.keys import KeyStore

KEY = "attestation"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://valueapi.ai/attestation/bodies-not-stored/v1"


class AttestationKey(Base):
    """A public key that has signed, by its thumbprint (RFC 7638)."""

    __tablename__ = "attestation_key"

    id: Mapped[str] = impersonal(String(43), 120, primary_key=True)
    public: Mapped[str] = impersonal(String(43), 121)
    first_used_at: Mapped[datetime] = impersonal(UtcDateTime, 122)


@dataclass(frozen=True, slots=True, repr=False)
class Signer:
    """The current key. `id` is the thumbprint of its public half."""

    id: str
    _key: Ed25519PrivateKey

    @property
    def public(self) -> str:
        """The public half, as a JWK has it."""
        return _base64url(self._key.public_key().public_bytes_raw())

    def sign(self, value: Mapping[str, object]) -> str:
        """The DSSE envelope over a statement, as JSON text."""
        payload = _canonical(value)
        signature = self._key.sign(_pre_authentication(payload))
        envelope = {
            "payloadType": PAYLOAD_TYPE,
            "payload": base64.b64encode(payload).decode(),
            "signatures": [{"keyid": self.id, "sig": base64.b64encode(signature).decode()}],
        }
        return json.dumps(envelope)

    def opened(self, envelope: str) -> dict[str, Any]:
        """The statement of an envelope that this very key signed. Raises SealBroken for any other.

        The public keys beside the data are for others: whoever can write a row can write a key.
        """
        try:
            told = json.loads(envelope)
            payload = base64.b64decode(told["payload"], validate=True)
            [signature] = told["signatures"]
            if told["payloadType"] != PAYLOAD_TYPE or signature["keyid"] != self.id:
                raise SealBroken("The attestation is of another kind, or under another key.")
            self._key.public_key().verify(
                base64.b64decode(signature["sig"], validate=True), _pre_authentication(payload)
            )
            statement: dict[str, Any] = json.loads(payload)
        except (ValueError, KeyError, TypeError, InvalidSignature):
            raise SealBroken("The attestation isn't what was signed.") from None
        return statement


async def signer(db: Database, keys: KeyStore) -> Signer:
    """The service's signing key, its public half committed to the set before anything is signed with it."""
    made = await checker(keys)
    async with db.transaction(DataUse.SECURITY) as session:
        if await session.get(AttestationKey, made.id) is None:
            # All workers of a first start come here at once.
            await add_once(session, AttestationKey(id=made.id, public=made.public, first_used_at=clock.now()))
    return made


async def checker(keys: KeyStore) -> Signer:
    """The same key, for looking at what it has signed."""
    key = Ed25519PrivateKey.from_private_bytes((await keys.service_key(KEY)).secret)
    return Signer(_thumbprint(_base64url(key.public_key().public_bytes_raw())), key)


async def key_set(db: Database) -> dict[str, list[dict[str, str]]]:
    """The JWK set of every key that has signed, the newest first."""
    columns = AttestationKey.id, AttestationKey.public
    async with db.session(DataUse.SECURITY) as session:
        rows = await session.execute(select(*columns).order_by(AttestationKey.first_used_at.desc()))
        return {"keys": [_jwk(public) | {"kid": kid, "use": "sig", "alg": "EdDSA"} for kid, public in rows]}


def statement(build: str, predicate: Mapping[str, object], kind: str = PREDICATE_TYPE) -> dict[str, object]:
    """A statement about the program whose digest is `build`; `kind`: what the predicate is, a URI."""
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": "valueapi", "digest": {"sha256": build}}],
        "predicateType": kind,
        "predicate": predicate,
    }


def _pre_authentication(payload: bytes) -> bytes:
    """PAE of DSSE v1: type and payload, each behind its length."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _jwk(public: str) -> dict[str, str]:
    """RFC 8037 section 2."""
    return {"crv": "Ed25519", "kty": "OKP", "x": public}


def _thumbprint(public: str) -> str:
    """RFC 7638 section 3, with the members that RFC 8037 appendix A.3 names."""
    return _base64url(hashlib.sha256(_canonical(_jwk(public))).digest())


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
