"""Structured logs to standard output: our own words, ids and counts. No body, no header value, no personal data.

The standard library's root logger is silenced below WARNING, and what other libraries say at WARNING and above is
reduced to logger, level and exception type: their texts could quote what they met.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from governance import sinks

_OURS = ("uvicorn.error", "valueapi")


class _Reduced(logging.Handler):
    """Prints where and how bad, never what: the message of a library can hold anything."""

    def emit(self, record: logging.LogRecord) -> None:
        kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
        own = record.name.startswith(_OURS) and not record.args and kind is None
        detail = {"text": str(record.msg)} if own else {}
        log = structlog.get_logger(record.name)
        log.log(max(record.levelno, logging.INFO), "library", logger=record.name, type=kind, **detail)


def _no_trace(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event.pop("exc_info", None)
    event.pop("stack_info", None)
    return event


def _screened(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A field that holds a fragment of a body in flight is left out; the line says that there was one."""
    for name, value in event.items():
        if sinks.withholds(sinks.Sink.LOG, value):
            event[name] = sinks.WITHHELD
    return event


def configure() -> None:
    """Set up both worlds once for a process."""
    structlog.configure(
        processors=[
            _screened,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _no_trace,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers[:] = [_Reduced()]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(True)
    # Lets `asyncio` say "Task exception was never retrieved" with a type and nothing else.
    logging.raiseExceptions = False
