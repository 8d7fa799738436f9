"""Where an exception or a warning ends that nobody caught: type and place are logged, and nothing else of it.

By themselves the interpreter and asyncio print the text, the traceback, and of a callback its arguments; an error
tracker that hangs itself behind them would print every frame's locals. What comes here is emptied, so that whoever
keeps the exception keeps nothing. `faulthandler` prints no values, and is left alone.
"""

import asyncio
import sys
import threading
import warnings
from collections.abc import Mapping
from types import TracebackType
from typing import Any, TextIO

import structlog

from governance.bodies import failure

_log = structlog.get_logger("last_resort")
# What an event loop's report is about; its message can hold the repr of a callback's arguments.
_ABOUT = ("task", "future", "handle", "asyncgen", "protocol", "transport", "socket", "server")


def install() -> None:
    """For the whole process, after the logs are configured: the last word on what is raised where nobody catches."""
    sys.excepthook = _in_main
    threading.excepthook = _in_thread
    sys.unraisablehook = _unraisable
    warnings.showwarning = _warned


def watch(loop: asyncio.AbstractEventLoop) -> None:
    """For a loop that serves: tasks whose exception nobody retrieved, callbacks and transports that failed."""
    loop.set_exception_handler(_in_loop)


def _tell(where: str, error: BaseException | None) -> None:
    met = failure.of(error) if error is not None else None
    _log.error("nobody caught this", where=where, type=met and met.type, place=met and met.place)
    if error is not None:
        failure.empty(error)


def _in_main(_kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
    _tell("main", error)


def _in_thread(raised: threading.ExceptHookArgs) -> None:
    _tell("thread", raised.exc_value)


def _unraisable(raised: Any) -> None:
    _tell("finalizer", raised.exc_value)


def _in_loop(_loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
    _tell(f"event loop, {next((name for name in _ABOUT if name in context), 'other')}", context.get("exception"))


def _warned(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    _log.warning("library", type=category.__name__, place=f"{filename.rpartition('/')[2]}:{lineno}")
