"""What billing's tests share: a customer with a key, events, a recall counter in a file, and stores that fail."""

import asyncio
import mmap
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession

from governance import clock
from governance.datamap import DataUse
from governance.db import Database
from governance.ids import uuid7
from governance.vault.envelope import Key
from governance.vault.keys import KeyStore
from router.billing import ledger
from router.billing.ledger import EntryKind
from router.billing.meter_event import MeterEvent

IP = "203.0.113.77"
USER_AGENT = "canary-agent/7.7"


class Customer:
    """An account with one subject, as billing sees them."""

    def __init__(self, key: Key, subject_id: UUID) -> None:
        self.account_id = uuid7()
        self.subject_id = subject_id
        self.api_key_id = uuid7()
        self.key = key

    def event(self, charge: int, **changes: Any) -> MeterEvent:
        values: dict[str, Any] = {
            "request_id": uuid7(), "account_id": self.account_id, "subject_id": self.subject_id,
            "api_key_id": self.api_key_id, "at_ms": clock.unix_ms(), "endpoint": "chat", "model": "simulator/small",
            "provider": "simulator", "input_tokens": 11, "cached_input_tokens": 3, "cache_write_tokens": 2, "output_tokens": 7,
            "estimated": False, "charge_microcredits": charge, "latency_ms": 120, "first_byte_ms": 30, "status": 200,
            "outcome": "completed", "ip": IP, "user_agent": USER_AGENT,
        }  # fmt: skip
        return MeterEvent(**(values | changes))


async def customer(db: Database, keys: KeyStore, credits_micro: int) -> Customer:
    subject_id = uuid7()
    made = Customer(await keys.create_subject_key(subject_id), subject_id)
    if credits_micro:
        async with db.transaction(DataUse.PAYMENT) as session:
            await ledger.grant(session, made.account_id, credits_micro, str(made.account_id), EntryKind.DEMO)
    return made


class Signal:
    """A recall counter in a mapped file: real between processes."""

    def __init__(self, path: Path) -> None:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(handle, 8)
        self._map = mmap.mmap(handle, 8)
        os.close(handle)

    def recall(self) -> int:
        return int.from_bytes(self._map[:8], "little")

    def ask_recall(self) -> None:
        self._map[:8] = (self.recall() + 1).to_bytes(8, "little")


class Flaky(Database):
    """A store whose transactions can be lost, or done but reported as failed."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.lose = 0
        self.misreport = 0
        self.transactions = 0
        self.gate: asyncio.Event | None = None
        """Where set, a transaction that did its work waits here before it commits."""
        self.waiting = asyncio.Event()

    @asynccontextmanager
    async def transaction(self, use: DataUse) -> AsyncIterator[AsyncSession]:
        self.transactions += 1
        async with super().transaction(use) as session:
            yield session
            if self.gate is not None:
                self.waiting.set()
                await self.gate.wait()
            if self.lose:
                self.lose -= 1
                raise OperationalError("COMMIT", None, Exception("lost"))
        if self.misreport:
            self.misreport -= 1
            raise OperationalError("COMMIT", None, Exception("done, reported as failed"))
