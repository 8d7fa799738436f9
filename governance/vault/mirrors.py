"""Where the list of destroyed keys is kept besides the key store, so that restoring an old copy of it revives nothing.

The data store has one copy, the log folder another: each store may be restored alone, and the log never is. A mirror is
a set of ids, so telling it twice does no harm, and the state of the key store that it was last told. Ids bear an
HMAC-SHA256 under a service key of the key store: who can write to a mirror destroys nothing by it.
"""

import asyncio
import hashlib
import hmac
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import Integer, LargeBinary, Uuid, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute, Mapped

from governance.datamap import Base, DataUse, LegalBasis, OnErasure, declared, impersonal
from governance.db import Database
from governance.ids import in_lists, uuid7
from governance.vault.destruction import Destructions

_TAIL_BYTES = 4096
_KEY, _SUBJECT = b"key", b"subject"


class Mirror(Protocol):
    """A copy of what was destroyed."""

    async def state(self) -> UUID | None:
        """The key store's state when this was last told; None where it never was."""

    async def record(self, happened: Destructions, state: UUID | None, key: bytes) -> None:
        """Keep ids durably, and the state that they bring this up to, if they do. May be repeated."""

    async def known(self, key: bytes) -> tuple[Destructions, int]:
        """All that was ever recorded under this key, and how many entries are under none that fits."""


class DestroyedCopy(Base):
    """One destroyed key or erased subject, as the data store remembers it."""

    __tablename__ = "destroyed_copy"

    id: Mapped[UUID] = impersonal(Uuid, 130, primary_key=True)
    mac: Mapped[bytes] = impersonal(LargeBinary, 131)
    key_id: Mapped[UUID | None] = impersonal(Uuid, 132, nullable=True, index=True)
    subject_id: Mapped[UUID | None] = declared(
        Uuid, 133, "user.unique_id.pseudonymous", (DataUse.SECURITY, DataUse.LEGAL_OBLIGATION), nullable=True, index=True,
        retention="tombstone", on_erasure=OnErasure.KEEP_REQUEST, legal_basis=LegalBasis.LEGAL_OBLIGATION,
    )  # fmt: skip


class DestroyedState(Base):
    """One row: the key store's state that the copy was last brought up to."""

    __tablename__ = "destroyed_state"

    id: Mapped[int] = impersonal(Integer, 134, primary_key=True)
    state: Mapped[UUID] = impersonal(Uuid, 135)


class DataMirror:
    """In the data store."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def state(self) -> UUID | None:
        async with self._db.session(DataUse.SECURITY) as session:
            return await session.scalar(select(DestroyedState.state))

    async def record(self, happened: Destructions, state: UUID | None, key: bytes) -> None:
        async with self._db.transaction(DataUse.SECURITY) as session:
            for key_id in await _unknown(session, DestroyedCopy.key_id, happened.key_ids, key):
                session.add(DestroyedCopy(id=uuid7(), key_id=key_id, mac=_mac(key, _KEY, key_id)))
            for subject_id in await _unknown(session, DestroyedCopy.subject_id, happened.subject_ids, key):
                session.add(DestroyedCopy(id=uuid7(), subject_id=subject_id, mac=_mac(key, _SUBJECT, subject_id)))
            row = await session.get(DestroyedState, 1)
            if row is not None:
                row.state = state or row.state
            elif state is not None:
                session.add(DestroyedState(id=1, state=state))

    async def known(self, key: bytes) -> tuple[Destructions, int]:
        query = select(DestroyedCopy.key_id, DestroyedCopy.subject_id, DestroyedCopy.mac)
        async with self._db.session(DataUse.SECURITY) as session:
            rows = (await session.execute(query)).all()
        # Processes that told it at once leave an entry twice.
        keys = [row.key_id for row in rows if row.key_id and _fits(key, _KEY, row.key_id, row.mac)]
        subjects = [row.subject_id for row in rows if row.subject_id and _fits(key, _SUBJECT, row.subject_id, row.mac)]
        found = Destructions(frozenset(keys), frozenset(subjects))
        return found, len(rows) - len(keys) - len(subjects)


async def _unknown(
    session: AsyncSession, column: InstrumentedAttribute[UUID | None], ids: Iterable[UUID], key: bytes
) -> list[UUID]:
    what = _KEY if column.key == "key_id" else _SUBJECT
    unknown = set(ids)
    for some in in_lists(list(unknown)):
        rows = await session.execute(select(column.label("which"), DestroyedCopy.mac).where(column.in_(some)))
        unknown.difference_update(row.which for row in rows if _fits(key, what, row.which, row.mac))
    return sorted(unknown)


def _mac(key: bytes, what: bytes, which: UUID) -> bytes:
    return hmac.digest(key, what + which.bytes, hashlib.sha256)


def _fits(key: bytes, what: bytes, which: UUID, mac: bytes) -> bool:
    return hmac.compare_digest(_mac(key, what, which), mac)


class LogMirror:
    """JSON lines in `destroyed-keys.jsonl` of the log folder. A line cut short by a crash is no line."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "destroyed-keys.jsonl"

    async def state(self) -> UUID | None:
        return await asyncio.to_thread(self._state)

    def _state(self) -> UUID | None:
        try:
            with self._path.open("rb") as file:
                file.seek(max(file.seek(0, os.SEEK_END) - _TAIL_BYTES, 0))
                tail = file.read()
        except FileNotFoundError:
            return None
        # Not the last state, but that of the last line: ids without one were told by a store of another history.
        lines = [line for line in tail.split(b"\n") if line]
        state = _parsed(lines[-1]).get("state") if lines else None
        try:
            return UUID(state) if isinstance(state, str) else None
        except ValueError:
            return None

    async def record(self, happened: Destructions, state: UUID | None, key: bytes) -> None:
        lines: list[dict[str, object]] = []
        if happened:
            ids = {"keys": happened.key_ids, "subjects": happened.subject_ids}
            line = {name: sorted(map(str, some)) for name, some in ids.items()}
            lines.append({**line, "mac": _line_mac(key, line)})
        # In a line of its own, and last: what a crash cuts off is missing in whole.
        if state is not None:
            lines.append({"state": str(state)})
        await asyncio.to_thread(self._append, "".join(f"\n{json.dumps(line)}\n" for line in lines).encode())

    def _append(self, data: bytes) -> None:
        handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            if os.write(handle, data) != len(data):
                raise OSError("short write")
            os.fsync(handle)
        finally:
            os.close(handle)

    async def known(self, key: bytes) -> tuple[Destructions, int]:
        return await asyncio.to_thread(self._known, key)

    def _known(self, key: bytes) -> tuple[Destructions, int]:
        keys: set[UUID] = set()
        subjects: set[UUID] = set()
        foreign = 0
        for line in self._lines():
            if not line or "state" in line:
                continue
            mac = line.pop("mac", None)
            if not (
                isinstance(mac, str)
                and hmac.compare_digest(_line_mac(key, line).encode(), mac.encode(errors="replace"))
            ):
                foreign += 1
                continue
            keys.update(UUID(text) for text in line["keys"])
            subjects.update(UUID(text) for text in line["subjects"])
        return Destructions(frozenset(keys), frozenset(subjects)), foreign

    def _lines(self) -> Iterator[dict[str, Any]]:
        try:
            with self._path.open("rb") as file:
                for line in file:
                    yield _parsed(line)
        except FileNotFoundError:
            return


def _line_mac(key: bytes, line: dict[str, Any]) -> str:
    text = json.dumps(line, sort_keys=True, separators=(",", ":"))
    return hmac.digest(key, text.encode(), hashlib.sha256).hex()


def _parsed(line: bytes) -> dict[str, Any]:
    """A line's object; an empty one for what is none."""
    try:
        read = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}
