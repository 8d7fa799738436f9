"""Fault modes, chosen by a suffix of the upstream model name: `sim-gpt:fault=429,retry_after=2`.

The router strips headers it doesn't know, so the model's name is the one way through it; tests declare such names as
further catalog entries. `FAULTS` is the whole list.
"""

import re
from dataclasses import dataclass

FAULTS: dict[str, str] = {
    "delay": "answers after `ms` (default 200)",
    "400": "and any other 4xx or 5xx: an error of the dialect, the prompt echoed in it; `retry_after` in s",
    "cut": "the connection ends mid-body, between two events of a stream",
    "cut_json": "the connection ends in the middle of a JSON text",
    "malformed": "200 with a body (stream: an event) that isn't JSON and quotes the prompt",
    "html": "200 with an HTML page that quotes the prompt",
    "error_event": "an error event, the prompt echoed in it, amid a stream; not streaming: an error object with 200",
    "redirect": "307 to another path of this simulator",
    "huge": "a well-formed answer whose text has `mb` MiB (default 64)",
    "no_usage": "no usage anywhere",
    "huge_usage": "token counts of 10^15",
    "negative_usage": "token counts of -5",
    "text_usage": "token counts that are texts",
    "slow": "the body in pieces of `bytes` (default 16), `ms` apart (default 20; 0 for none)",
    "hang": "never answers",
    "hang_midway": "stops in the middle of the body and keeps the connection open",
    "close": "closes the connection before any answer",
    "wrong_type": "the right body under content type text/plain",
    "no_terminator": "a stream that ends without its dialect's last event",
    "empty": "200 with no body at all",
}
_SUFFIX = re.compile(r":fault=([a-z0-9_]{1,32})((?:,[a-z_]{1,16}=[0-9]{1,7})*)$")
_STATUS = re.compile(r"[45][0-9][0-9]")


@dataclass(frozen=True, slots=True, repr=False)
class Fault:
    """A fault's kind and its numbers. With `times=N` only the first N requests of this very fault meet it."""

    kind: str
    options: tuple[tuple[str, int], ...] = ()

    def number(self, name: str, default: int) -> int:
        return dict(self.options).get(name, default)

    @property
    def status(self) -> int | None:
        """The HTTP status of an error fault."""
        return int(self.kind) if _STATUS.fullmatch(self.kind) else None


def split(model: str) -> tuple[str, Fault | None]:
    """The model's own name, and the fault that its suffix asks for. Raises ValueError for an unknown fault."""
    found = _SUFFIX.search(model)
    if found is None:
        return model, None
    kind = found.group(1)
    if kind not in FAULTS and not _STATUS.fullmatch(kind):
        raise ValueError("no such fault")
    pairs = (part.split("=") for part in found.group(2).split(",") if part)
    return model[: found.start()], Fault(kind, tuple((name, int(value)) for name, value in pairs))
