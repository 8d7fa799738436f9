"""What may be known of an exception that bodies were near: its type and its place. And taking the rest off it.

An exception holds more than its text: arguments (`KeyError`, `UnicodeDecodeError.object`, `JSONDecodeError.doc`), notes,
the frames of its traceback with every local, and by `__context__` the exceptions before it, which `raise … from None`
only hides. So whoever prints one elsewhere (a server's log, an event loop's handler, an error tracker) prints what it
met. At the boundary of the code that handles bodies `of` takes the type and place, and `empty` takes everything off.
"""

import contextlib
import traceback
from dataclasses import dataclass

from governance.errors import ValueAPIError

# What built-in exceptions keep beside their arguments, in slots of their own.
_HELD = ("object", "reason", "obj", "name", "path", "msg", "text", "filename", "filename2", "strerror", "value", "code")


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception's type, and `file.py:line` of where it was raised; empty where it has no traceback."""

    type: str
    place: str


def of(error: BaseException) -> Failure:
    """The type and innermost line: enough to find the fault, nothing of its text."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{_file(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}" if trace is not None else ""
    return Failure(type(error).__name__, place)


def empty(error: BaseException) -> None:
    """Take off an exception, and all that hang on it, what they hold: locals of its frames, causes, arguments, notes.

    The text of our own errors stays: it quotes nothing. Frames that still run keep their locals, and lose the
    traceback that led to them.
    """
    found, seen = [error], {id(error)}
    for each in found:
        group = each.exceptions if isinstance(each, BaseExceptionGroup) else ()
        for other in (each.__cause__, each.__context__, *group):
            if other is not None and id(other) not in seen:
                seen.add(id(other))
                found.append(other)
    for each in found:
        # A generator's frame that is suspended is closed by this; what it does then can fail, and isn't ours to tell.
        with contextlib.suppress(Exception):
            traceback.clear_frames(each.__traceback__)
        each.__traceback__ = each.__cause__ = each.__context__ = None
        if not isinstance(each, ValueAPIError):
            _forget(each)


def _forget(error: BaseException) -> None:
    error.args = ()
    error.__dict__.clear()
    for name in _HELD:
        value = getattr(error, name, None)
        if value:
            # A codec's error takes no None for what it met; a group's message can't be set, and is its maker's.
            with contextlib.suppress(AttributeError, TypeError):
                setattr(error, name, type(value)() if isinstance(error, UnicodeError) else None)


def _file(path: str) -> str:
    return path.rpartition("/")[2]
