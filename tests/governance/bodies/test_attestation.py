"""Attestations are checked by code that knows the two public formats and nothing of ours; keys survive rotation."""

import base64
import hashlib
import json
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from governance.bodies import attestation
from governance.db import Database
from governance.vault.keys import KeyStore

Stores = tuple[Database, KeyStore]


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def verified(envelope: str, keys: dict[str, Any]) -> dict[str, Any]:
    """The statement. Raises InvalidSignature, KeyError: DSSE v1, RFC 7517, RFC 8037, with `cryptography` alone."""
    told = json.loads(envelope)
    payload, kind = base64.b64decode(told["payload"], validate=True), told["payloadType"].encode()
    by_id = {
        key["kid"]: key for key in keys["keys"] if (key["kty"], key["crv"], key["alg"]) == ("OKP", "Ed25519", "EdDSA")
    }
    for signature in told["signatures"]:
        public = Ed25519PublicKey.from_public_bytes(decoded(by_id[signature["keyid"]]["x"]))
        signed = b" ".join((b"DSSEv1", str(len(kind)).encode(), kind, str(len(payload)).encode(), payload))
        public.verify(base64.b64decode(signature["sig"], validate=True), signed)
    statement: dict[str, Any] = json.loads(payload)
    return statement


async def test_anybody_can_check_one(stores: Stores) -> None:
    made = (await attestation.signer(*stores)).sign(attestation.statement("ab" * 32, {"verdict": "clean"}))
    statement = verified(made, await attestation.key_set(stores[0]))
    assert json.loads(made)["payloadType"] == "application/vnd.in-toto+json"
    assert statement == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "valueapi", "digest": {"sha256": "ab" * 32}}],
        "predicateType": attestation.PREDICATE_TYPE,
        "predicate": {"verdict": "clean"},
    }


async def test_a_changed_one_is_refused(stores: Stores) -> None:
    made = json.loads((await attestation.signer(*stores)).sign(attestation.statement("ab" * 32, {"verdict": "leak"})))
    payload = base64.b64decode(made["payload"]).replace(b"leak", b"ok  ")
    forged = json.dumps(made | {"payload": base64.b64encode(payload).decode()})
    with pytest.raises(InvalidSignature):
        verified(forged, await attestation.key_set(stores[0]))
    with pytest.raises(InvalidSignature):
        verified(json.dumps(made | {"payloadType": "text/plain"}), await attestation.key_set(stores[0]))


async def test_an_old_attestation_is_good_after_its_key_was_replaced(stores: Stores) -> None:
    old = (await attestation.signer(*stores)).sign(attestation.statement("0" * 64, {}))
    await stores[1].replace_service_key(attestation.KEY)
    new = (await attestation.signer(*stores)).sign(attestation.statement("1" * 64, {}))
    keys = await attestation.key_set(stores[0])
    assert len(keys["keys"]) == 2 and keys["keys"][0]["kid"] == json.loads(new)["signatures"][0]["keyid"]
    assert verified(old, keys)["subject"] != verified(new, keys)["subject"]
    with pytest.raises(KeyError):
        verified(old, {"keys": keys["keys"][:1]})


def test_a_key_is_named_by_its_thumbprint() -> None:
    """The example of RFC 8037, appendix A.3."""
    assert attestation._thumbprint("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo") == (
        "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    )
    canonical = b'{"crv":"Ed25519","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}'
    assert base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").startswith(b"kPrK")
