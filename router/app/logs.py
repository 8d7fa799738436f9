"""Structured logs to standard output: our own words, ids and counts. No body, no header value, no personal data.

The standard library's root logger is silenced below WARNING, and what other libraries say at any level is reduced to
logger, level and exception type where the record is made: their texts could quote what they met, and a handler that a
library or an operator adds must find nothing in a record either.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from governance import sinks
from governance.bodies.body import Body

_OURS = ("uvicorn.error", "valueapi")
_PLAIN = (str, int, float)
_REDUCED = "(a library's words are not kept)"


def _record(
    name: str, level: int, path: str, line: int, message: object, args: Any, exc_info: Any, *place: Any, **rest: Any
) -> logging.LogRecord:
    """A record with a text only where that is our own, whole, and made from nothing."""
    kind = exc_info[0].__name__ if exc_info and exc_info[0] else None
    own = name.startswith(_OURS) and not args and kind is None and type(message) is str
    record = logging.LogRecord(name, level, path, line, message if own else _REDUCED, (), None)
    record.kind = kind
    return record


class _Reduced(logging.Handler):
    """Prints where and how bad, never what: the message of a library can hold anything."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger(record.name)
        detail = {"text": record.msg} if record.msg is not _REDUCED else {}
        log.log(
            max(record.levelno, logging.INFO),
            "library",
            logger=record.name,
            type=getattr(record, "kind", None),
            **detail,
        )


def _no_trace(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event.pop("exc_info", None)
    event.pop("stack_info", None)
    return event


def _plain(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Words and numbers stay; of anything else the type is enough, and of a body what it says of itself. The repr of an
    exception, of a list or of bytes is what they hold."""
    for name, value in event.items():
        if value is None or isinstance(value, _PLAIN):
            continue
        event[name] = repr(value) if type(value) is Body else f"<{type(value).__name__}>"
    return event


def _screened(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A field that holds a fragment of a body in flight is left out; the line says that there was one."""
    for name, value in list(event.items()):
        if sinks.withholds(sinks.Sink.LOG, value):
            event[name] = sinks.WITHHELD
        if sinks.withholds(sinks.Sink.LOG, name):
            event[sinks.WITHHELD] = event.pop(name)
    return event


def configure() -> None:
    """Set up both worlds once for a process."""
    structlog.configure(
        processors=[
            _screened,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _no_trace,
            _plain,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    logging.setLogRecordFactory(_record)
    root = logging.getLogger()
    root.handlers[:] = [_Reduced()]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(True)
    # Lets `asyncio` say "Task exception was never retrieved" with a type and nothing else.
    logging.raiseExceptions = False
