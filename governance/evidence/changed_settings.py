"""What the operator changed between two starts of the service: the setting's name becomes an entry, its values stay out of it.

A setting that was never seen counts as having had its default, so that a first start says what it was begun with.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr
from sqlalchemy import LargeBinary, String, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped

from governance.datamap import AtRest, Base, DataUse, impersonal
from governance.db import Database
from governance.evidence import fields, pending
from governance.evidence.entry import EntryType
from governance.vault.keys import KeyStore

_KEY = "settings"
_TRIES = 3


class SettingSeen(Base):
    """A setting that once wasn't its default: HMAC-SHA256 of name and value under a service key."""

    __tablename__ = "setting_seen"

    name: Mapped[str] = impersonal(String(64), 560, primary_key=True)
    digest: Mapped[bytes] = impersonal(LargeBinary, 561, AtRest.HASHED)


async def record(data: Database, keys: KeyStore, settings: BaseModel) -> list[str]:
    """An entry for each setting that isn't as at the last start, in one transaction with what is kept of it; their names."""
    key = (await keys.service_key(_KEY)).secret
    kind = type(settings)
    fields.declare_names("setting", kind.model_fields)
    now = {name: _digest(key, name, getattr(settings, name)) for name in kind.model_fields}
    default = {name: _digest(key, name, field.default) for name, field in kind.model_fields.items()}
    for tries_left in reversed(range(_TRIES)):
        try:
            return await _changed(data, now, default)
        except IntegrityError:  # another process of this start was first
            if not tries_left:
                raise
    return []


async def _changed(data: Database, now: Mapping[str, bytes], default: Mapping[str, bytes]) -> list[str]:
    async with data.transaction(DataUse.SECURITY) as session:
        rows = {row.name: row for row in await session.scalars(select(SettingSeen).with_for_update())}
        changed = [
            name for name, digest in now.items() if digest != (rows[name].digest if name in rows else default[name])
        ]
        for name in changed:
            if name in rows:
                rows[name].digest = now[name]
            else:
                session.add(SettingSeen(name=name, digest=now[name]))
            await pending.record(session, EntryType.SETTING_CHANGED, detail={"setting": name})
    return changed


def _digest(key: bytes, name: str, value: object) -> bytes:
    return hmac.digest(key, json.dumps([name, _plain(value)]).encode(), hashlib.sha256)


def _plain(value: Any) -> Any:
    """What JSON can say of a setting's value, secrets included."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, Path):
        return str(value)
    return [_plain(each) for each in value] if isinstance(value, tuple) else value
