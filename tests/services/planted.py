"""The service with faults planted that carry a piece of the prompt to each sink: what the guard alone must stop.

Run as `python -m tests.services.planted serve …`. Every fault is one that a careless change could make.
"""

from typing import Any

import structlog

from governance import events
from governance.vault import columns
from router.billing import usage_log
from router.gateway import settlement
from router.gateway.relay import Stream

_log = structlog.get_logger("planted")
_prompt: list[str] = []


def _piece(data: bytes) -> str:
    return data.decode().partition("secret: ")[2][:60]


def plant() -> None:
    """Into the journal's record, a plain and a sealed column, the log, the events and a label."""
    settle, made, row_of, send = (
        settlement.Settlement.settle, settlement.MeterEvent, usage_log.row_of, Stream._send
    )  # fmt: skip

    def settling(self: Any, *args: Any, **options: Any) -> int:
        piece = _piece(self._admitted.scan.data)
        _prompt[:] = [piece]
        settlement.MeterEvent = lambda **fields: made(**{**fields, "user_agent": piece})  # type: ignore[assignment,misc]
        charge = settle(self, *args, **options)
        _log.info("settled", words=f"they said {piece}")
        try:
            raise ValueError(piece)
        except ValueError as error:
            _log.error("failed", reason=str(error))
        return charge

    async def adding(keys: Any, event: Any) -> dict[str, Any]:
        row = usage_log.Usage(id=event.request_id, subject_id=event.subject_id)
        await columns.seal(keys, row, user_agent=f"agent of {_prompt[0]}")
        await events.emit_async("planted:row:added", {"words": _prompt[0]})
        return {**await row_of(keys, event), "model": _prompt[0], "user_agent": row.user_agent}

    async def sending(self: Any, data: bytes) -> None:
        _log.info(data.decode())
        await send(self, data)

    settlement.Settlement.settle = settling  # type: ignore[method-assign]
    usage_log.row_of = adding
    Stream._send = sending  # type: ignore[method-assign]


if __name__ == "__main__":
    import sys

    from router.cli import main

    plant()
    sys.exit(main())
