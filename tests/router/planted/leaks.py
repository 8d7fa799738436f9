"""Leaks as they were found in gateways: each gets an admitted call, in the middle of a request."""

import json
import logging
import sys
import tempfile
import traceback
import warnings
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import rich.console
import structlog
from sqlalchemy import insert, update

from governance.datamap import DataUse
from governance.db import Database
from router.billing.usage_log import Usage
from router.gateway.call import Admitted

Leak = Callable[[Admitted, Database, Path], Awaitable[None]]
LEAKS: dict[str, Leak] = {}


def leak(function: Leak) -> Leak:
    LEAKS[function.__name__] = function
    return function


def refused(attempt: Callable[[], object]) -> None:
    try:
        attempt()
    except Exception as error:
        print("refused:", type(error).__name__, error, flush=True)


@leak
async def in_a_log_line(admitted: Admitted, db: Database, home: Path) -> None:
    body = admitted.call.body
    print("debug:", body, repr(admitted), admitted, f"{admitted.call} {admitted.scan!r}", flush=True)
    for name in ("plain", "valueapi.debug", "uvicorn.error", "httpx2"):
        logging.getLogger(name).error(body)
        logging.getLogger(name).error("got %s of %r", body, admitted)
        logging.getLogger(name).error(f"got {body}", extra={"body": body})
    structlog.get_logger("debug").info(body)
    structlog.get_logger("debug").error("got", body=body, call=admitted.call, scan=admitted.scan, all=[body])
    warnings.warn(f"got {body}", stacklevel=1)


@leak
async def in_an_exception_s_text(admitted: Admitted, db: Database, home: Path) -> None:
    raise ValueError(f"can't serve {admitted.call.body} of {admitted!r}", admitted.scan)


@leak
async def in_a_helper_that_dumps(admitted: Admitted, db: Database, home: Path) -> None:
    for each in (admitted, admitted.call, admitted.call.body, admitted.scan, admitted.peek):
        print("dumped:", json.dumps({"seen": each}, default=str), flush=True)
        refused(lambda each=each: json.dumps(each, default=vars))  # type: ignore[misc]
    refused(lambda: asdict(admitted))
    with (home / "log" / "debug.json").open("a") as file:
        file.write(json.dumps({"body": admitted.call.body, "call": admitted.call}, default=repr) + "\n")


@leak
async def in_a_column(admitted: Admitted, db: Database, home: Path) -> None:
    """Bound as a value of an own row, by the ORM and in a statement, and the error that says why not, in a log."""
    for statement in (
        update(Usage).values(model=admitted.call.body),
        insert(Usage).values(id=admitted.call.id, model=admitted.call.body, provider=admitted.scan),
    ):
        try:
            async with db.transaction(DataUse.PAYMENT) as session:
                await session.execute(statement)
        except Exception as error:
            print("refused:", error, *traceback.format_exception(error), flush=True)


@leak
async def in_a_traceback_with_locals(admitted: Admitted, db: Database, home: Path) -> None:
    def fail(call: Any, body: Any) -> None:
        chunks = [body, {"body": body}]
        raise RuntimeError(len(chunks))

    try:
        fail(admitted.call, admitted.call.body)
    except RuntimeError as error:
        rich.console.Console(file=sys.stdout, width=300).print_exception(show_locals=True)
        print(*traceback.TracebackException.from_exception(error, capture_locals=True).format(), flush=True)
        logging.getLogger("plain").exception("failed")
        structlog.get_logger("debug").exception("failed", exc_info=error, stack_info=True)
    sys.stdout.flush()


@leak
async def in_a_temporary_file(admitted: Admitted, db: Database, home: Path) -> None:
    """As an upload is spooled: what is written there must be bytes, and a body gives none."""
    with tempfile.SpooledTemporaryFile(max_size=1) as file:
        file.write(b"a part's head")
        refused(lambda: file.write(admitted.call.body))  # type: ignore[arg-type,return-value]
        refused(lambda: file.writelines([admitted.call.body]))  # type: ignore[list-item]


@leak
async def opened(admitted: Admitted, db: Database, home: Path) -> None:
    """Not by mistake: what a house rule refuses, and layer 1 can't stop. The search has to find it."""
    print("opened:", admitted.call.body.expose(), flush=True)
