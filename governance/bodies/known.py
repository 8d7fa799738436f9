"""What may be written although a prompt repeats it: it was there before, and a caller who writes it into a prompt must
not keep the house from writing it.

- Our own words: the string literals of our packages' source, and the texts that ship with them (templates, policy,
  catalog). They are public: what is found in them wasn't learnt from a prompt.
- Names that the operator or the catalog gave, said at start (`know`).
- What has the form of an id (RFC 9562) or of a password hash's parameters, and nothing of a text.
- What the current piece of work was given by its own caller or read from a store (`sinks.given`).

None of it excuses what stands beside it: it is cut out of the value, and what is left is looked at again.
"""

import json
import re
import time
import unicodedata
from collections.abc import Iterable, Iterator
from importlib import resources
from typing import Any, Final

from governance import sinks
from governance.bodies.content import LEAST, encoded

_STEP: Final = 10
_GIVEN_LEAST: Final = 8
_TIME_MAX_S: Final = 0.1  # of CPU, for one value
_SHIPPED: Final = (".py", ".txt", ".md", ".yaml", ".html")
_NOT_OURS: Final = frozenset({"__pycache__", "simulator"})  # what a simulated provider says is an answer
_DOCSTRING: Final = re.compile(rb'^ *"""[^"]*(?:"{1,2}[^"]+)*"""', re.MULTILINE)
_LITERAL: Final = re.compile(rb'"([^"\n]{20,})"|"""(.*?)"""', re.DOTALL)
_UUID: Final = (
    "[0-9a-f]{8}-[0-9a-f]{4}-[457][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    "|[0-9a-f]{12}[457][0-9a-f]{3}[89ab][0-9a-f]{15}"
    "|00000000-0000-0000-0000-[0-9a-f]{12}|0{20}[0-9a-f]{12}"  # rows that there is one of have a number
)
_ID: Final = re.compile(_UUID)
_FORMS: Final = re.compile(
    rf"(?<![0-9a-fA-F])(?:{_UUID})(?![0-9a-fA-F])|\$argon2id\$v=\d+\$m=\d+,t=\d+,p=\d+\$".encode()
)


class Known:
    """One per process. `packages` are those whose words are ours."""

    def __init__(self, packages: Iterable[str]) -> None:
        self._words = b"\0".join(dict.fromkeys(word for word in _words(packages) if len(word) >= 2 * _STEP))
        # 20 bytes of ours hold one of these, wherever they begin: a value is looked at once per byte.
        self._steps = {self._words[at : at + _STEP] for at in range(0, len(self._words) - _STEP + 1, _STEP)}
        self._names: set[str] = set()
        self._name_bytes: list[bytes] = []

    def know(self, names: Iterable[str]) -> None:
        """These were there before any request."""
        self._names.update(name for name in names if len(name) >= _GIVEN_LEAST)
        self._name_bytes = sorted((encoded(name) for name in self._names), key=len, reverse=True)

    def whole(self, text: str) -> bool:
        """Whether all of it is known, as far as that costs nothing to tell."""
        return text in self._names or _ID.fullmatch(text) is not None or text in sinks.given_now()

    def rest(self, value: bytes) -> Iterator[bytes]:
        """What remains of a value, in pieces of at least 32 bytes, once everything known is cut out."""
        until = time.thread_time() + _TIME_MAX_S
        forms = {encoded(form) for text in sinks.given_now() for form in _forms(text)}
        given = sorted(forms, key=len, reverse=True)
        for leaf in _leaves(value):
            pieces = _without(leaf, [(hit.start(), hit.end()) for hit in _FORMS.finditer(leaf)])
            for text in (*given, *self._name_bytes):
                if len(text) >= _GIVEN_LEAST:
                    pieces = [part for piece in pieces for part in piece.split(text)]
            for piece in pieces:
                if any(piece in text for text in given):  # cut to a column's length
                    continue
                yield from (part for part in self._without_words(piece, until) if len(part) >= LEAST)

    def _without_words(self, piece: bytes, until: float) -> list[bytes]:
        """Without what our own words hold of it: at least 20 bytes in a row."""
        ours: list[tuple[int, int]] = []
        at = 0
        while at + _STEP <= len(piece) and time.thread_time() < until:  # what is left then is excused by nothing
            if piece[at : at + _STEP] not in self._steps:
                at += 1
                continue
            least = ours[-1][1] if ours else 0
            begin, end = at, at + _STEP
            while begin > least and piece[begin - 1 : end] in self._words:
                begin -= 1
            reach = 64
            while reach:
                if end + reach <= len(piece) and piece[begin : end + reach] in self._words:
                    end += reach
                else:
                    reach //= 2
            if end - begin >= 2 * _STEP:
                ours.append((begin, end))
                at = end
            else:
                at += 1
        return _without(piece, ours)


def _forms(text: str) -> set[str]:
    """A text as it came, and what the house makes of an address or a name that was typed."""
    normal = unicodedata.normalize("NFKC", text)
    return {form for each in (text, normal) for form in (each, each.lower(), each.casefold())} | {
        unicodedata.normalize("NFKC", normal.casefold())
    }


def _without(value: bytes, spans: list[tuple[int, int]]) -> list[bytes]:
    out, at = [], 0
    for begin, end in spans:
        out.append(value[at:begin])
        at = end
    out.append(value[at:])
    return out


def _leaves(value: bytes) -> Iterator[bytes]:
    """The strings of a JSON object or list, whose marks say nothing; any other value as it is."""
    if value[:1] in (b"{", b"["):
        try:
            found = json.loads(value)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict | list):
            for text in texts_of(found):
                yield text if isinstance(text, bytes) else encoded(text)
            return
    yield value


def texts_of(value: Any) -> Iterator[str | bytes]:
    """Every text in lists and mappings, names included; of anything else than numbers and such what it prints as."""
    match value:
        case None | bool() | int() | float():
            return
        case str() | bytes():
            yield value
        case bytearray() | memoryview():
            yield bytes(value)
        case dict():
            for name, inner in value.items():
                yield from texts_of(name)
                yield from texts_of(inner)
        case list() | tuple() | set() | frozenset():
            for inner in value:
                yield from texts_of(inner)
        case _:
            yield str(value)
            yield repr(value)


def _words(packages: Iterable[str]) -> Iterator[bytes]:
    for package in packages:
        root = resources.files(package)
        for entry in _files(root):
            yield (package + str(entry)[len(str(root)) :]).encode()  # as places are told in incidents
            data = entry.read_bytes()
            if entry.name.endswith(".py"):
                for one, several in _LITERAL.findall(_DOCSTRING.sub(b"", data)):
                    yield one or several
            else:
                yield data


def _files(folder: Any) -> Iterator[Any]:
    for entry in folder.iterdir():
        if entry.is_dir():
            if entry.name not in _NOT_OURS:
                yield from _files(entry)
        elif entry.name.endswith(_SHIPPED):
            yield entry
