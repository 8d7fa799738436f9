"""The hosts that something was sent to, of all processes: what the recipients that the policy names are compared with.

Each process adds what it saw every minute, and when it ends; a SIGKILL loses what it saw since.
"""

import asyncio
from datetime import datetime

from sqlalchemy import String, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped

from governance import clock, events, outbound
from governance.datamap import Base, DataUse, impersonal
from governance.db import Database, UtcDateTime

_EVERY_S = 60.0


class OutboundHost(Base):
    """One host, and when it was first and last sent to, by the minute."""

    __tablename__ = "outbound_host"

    host: Mapped[str] = impersonal(String(253), 580, primary_key=True)  # RFC 1035 section 2.3.4
    first_at: Mapped[datetime] = impersonal(UtcDateTime, 581)
    last_at: Mapped[datetime] = impersonal(UtcDateTime, 582)


async def flush(data: Database) -> None:
    """Add what this process saw. What can't be written is kept for the next time."""
    hosts = outbound.take()
    if not hosts:
        return
    now = clock.now().replace(second=0, microsecond=0)
    insert = sqlite.insert if data.sqlite else postgresql.insert
    try:
        async with data.transaction(DataUse.SECURITY) as session:
            for host in sorted(hosts):
                statement = insert(OutboundHost).values(host=host[:253], first_at=now, last_at=now)
                await session.execute(
                    statement.on_conflict_do_update(
                        index_elements=["host"], set_={"last_at": statement.excluded.last_at}
                    )
                )
    except BaseException:
        for host in hosts:
            outbound.saw(host)
        raise


async def run(data: Database) -> None:
    """Forever, while the service runs."""
    while True:
        await asyncio.sleep(_EVERY_S)
        try:
            await flush(data)
        except Exception as error:
            await events.emit_async("recipients:hosts:unrecorded", {"type": type(error).__name__})


async def seen(data: Database) -> dict[str, datetime]:
    """Every host, and when it was last sent to."""
    await flush(data)
    async with data.session(DataUse.SECURITY) as session:
        rows = await session.execute(select(OutboundHost.host, OutboundHost.last_at))
        return {host: at for host, at in rows}
