"""One pass over a request body: is it a JSON object, and where does each top-level member lie?

The gateway keeps bodies as bytes. It needs a few fields to route, and the exact place of each top-level member so
that edits are splices and every other byte stays as the caller sent it. RFC 8259 section 4 leaves the meaning of a
name given twice open, so two parsers may read two different bodies: a governed field named twice, at any escape
spelling or letter case, is refused, since our parser and the provider's could then disagree about it.

InvalidRequest 400
├── MalformedBody   not a JSON object, not UTF-8, or nested too deeply
├── DuplicateField  a governed field is named twice; `param` is our name for it, never the caller's spelling
└── InvalidRequest  `misspelled_field`: a governed field in another letter case (Go's decoder would take it)

How it is fast: msgspec reads `dict[_Key, Raw]`. A `_Key` equals only itself, so no duplicate is lost, and a `Raw`
is skipped at C speed but tells its length; a short regular expression then walks from key to key.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Final, Never, cast

import msgspec

from router.errors import InvalidRequest

DEPTH_MAX: Final = 128
MEMBERS_MAX: Final = 50_000
_SMALL_BYTES: Final = 64 * 1024
BRACKETS_MAX: Final = 400_000  # some tenths of a second at the most; a real request of 32 MiB has some thousands


class MalformedBody(InvalidRequest):
    """The body can't be read as what the wire promises. The text quotes nothing of it."""

    code = "malformed_body"


class DuplicateField(InvalidRequest):
    """A governed field is named twice."""

    code = "duplicate_field"

    def __init__(self, field: str) -> None:
        super().__init__(f"The field '{field}' is named twice.", param=field)


class Governed:
    """Names of the fields that rules look at, with the other spellings that a provider also takes for them.

    `aliases` maps spelling to name: Google's JSON takes `cached_content` for `cachedContent` (ProtoJSON).
    """

    __slots__ = ("_folded", "_spellings")

    def __init__(self, names: Iterable[str], aliases: Mapping[str, str] | None = None) -> None:
        aliases = aliases or {}
        self._spellings = {**{name: name for name in (*names, *aliases.values())}, **aliases}
        self._folded = {spelling.casefold(): name for spelling, name in self._spellings.items()}

    def name_of(self, key: str) -> str | None:
        """Our name for the key, None where no rule looks at it. Raises InvalidRequest for another letter case."""
        name = self._spellings.get(key)
        if name is not None:
            return name
        name = self._folded.get(key.casefold())
        if name is not None:
            raise InvalidRequest(f"The field '{name}' must be spelled exactly so.", code="misspelled_field", param=name)
        return None


class Member:
    """Byte offsets of one member: `start` at the key's quote, the value in [`value_start`, `end`)."""

    __slots__ = ("end", "start", "value_start")

    def __init__(self, start: int, value_start: int, end: int) -> None:
        self.start = start
        self.value_start = value_start
        self.end = end

    def __repr__(self) -> str:
        return f"<Member {self.start}:{self.value_start}:{self.end}>"


class Scan:
    """A valid JSON object and the places of its members. It shows sizes only: field names are content too."""

    __slots__ = ("_governed", "data", "members", "open_at")

    def __init__(self, data: bytes, open_at: int, members: tuple[Member, ...], governed: Mapping[str, Member]) -> None:
        self.data = data
        self.open_at = open_at  # offset of the object's opening brace
        self.members = members  # in the order of the body
        self._governed = governed

    def __repr__(self) -> str:
        return f"<Scan {len(self.data)} bytes, {len(self.members)} members>"

    def __reduce_ex__(self, protocol: object) -> Never:
        raise TypeError("a Scan can't be pickled or copied")

    def __contains__(self, name: str) -> bool:
        return name in self._governed

    def member(self, name: str) -> Member | None:
        """The member that a governed field has in this body."""
        return self._governed.get(name)

    def raw(self, name: str) -> bytes | None:
        """The value's bytes as sent; None where the field is absent."""
        member = self._governed.get(name)
        return None if member is None else self.data[member.value_start : member.end]

    def fields(self) -> Iterator[tuple[str, bytes]]:
        """Every member's name, decoded, and its value's bytes as sent. Names are content: not for a log."""
        for member in self.members:
            name, _ = _NAMES.raw_decode(self.data[member.start : member.value_start].decode())
            yield name, self.data[member.value_start : member.end]

    def value(self, name: str) -> object:
        """The decoded value of a governed field; None where absent or null.

        Raises DuplicateField when an object in it names any of its fields twice.
        """
        raw = self.raw(name)
        if raw is None:
            return None
        if raw[0] in b"{[":
            return _strict(raw, None, name)
        try:
            return msgspec.json.decode(raw)
        except ValueError:
            raise InvalidRequest(f"'{name}' can't be read.", param=name) from None

    def tree(self, nested: frozenset[str]) -> dict[str, object]:
        """The whole body decoded. Raises DuplicateField when an object names a field of `nested` twice."""
        return cast(dict[str, object], _strict(self.data, nested, ""))


class _Key:
    """A member's name, equal only to itself, so that a dict keeps every member of an object."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


_NAMES: Final = json.JSONDecoder()
_DECODER: Final = msgspec.json.Decoder(dict[_Key, msgspec.Raw], dec_hook=lambda _, text: _Key(text))
_TO_VALUE = re.compile(rb'[\s,]*+("[^"\\]*+(?:\\.[^"\\]*+)*+")\s*+:\s*+', re.DOTALL)
_NOT_STRUCTURE: Final = bytes(set(range(256)) - set(b'"{}[]'))
_STEP: Final = tuple(1 if c in b"{[" else -1 if c in b"}]" else 0 for c in range(256))


def _counting_decoder() -> "msgspec.json.Decoder[dict[_Key, msgspec.Raw]]":
    """For large bodies: gives up after MEMBERS_MAX top-level members, each of which costs a call into Python."""
    left = MEMBERS_MAX

    def key(_: object, text: object) -> _Key:
        nonlocal left
        left -= 1
        if left < 0:
            raise ValueError("too many members")
        return _Key(str(text))

    return msgspec.json.Decoder(dict[_Key, msgspec.Raw], dec_hook=key)


def scan(data: bytes, governed: Governed) -> Scan:
    """Check the whole body and find its members.

    Raises MalformedBody (not one JSON object in UTF-8, a lone surrogate escape, deeper than DEPTH_MAX),
    DuplicateField and InvalidRequest. Time is linear in the body's length.
    """
    try:
        if not data.isascii():
            data.decode()  # skipped strings aren't checked for UTF-8
        pairs = (_DECODER if len(data) <= _SMALL_BYTES else _counting_decoder()).decode(data)
    except (ValueError, RecursionError):
        raise MalformedBody("The body is not a JSON object.") from None
    brackets = data.count(b"{") + data.count(b"[")
    if brackets > BRACKETS_MAX:
        raise MalformedBody(f"The body has more than {BRACKETS_MAX} objects and lists.")
    if brackets > DEPTH_MAX and _depth(data) > DEPTH_MAX:
        raise MalformedBody(f"The body is nested more than {DEPTH_MAX} levels deep.")
    open_at = data.index(b"{")
    pos = open_at + 1
    members: list[Member] = []
    found: dict[str, Member] = {}
    for key, value in pairs.items():
        at = _TO_VALUE.match(data, pos)
        if at is None:  # the decoder has accepted the body, so this can't be the body's doing
            raise RuntimeError("the scanner lost its place")
        pos = at.end() + len(memoryview(value))
        member = Member(at.start(1), at.end(), pos)
        members.append(member)
        name = governed.name_of(key.text)
        if name is not None:
            if name in found:
                raise DuplicateField(name)
            found[name] = member
    return Scan(data, open_at, tuple(members), found)


def _depth(data: bytes) -> int:
    """Deepest nesting of a valid document: drop escapes, keep brackets and quotes, take what lies outside quotes."""
    structure = data.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _NOT_STRUCTURE)
    outside = b"".join(structure.split(b'"')[::2])
    return max(accumulate(map(_STEP.__getitem__, outside)))


def _strict(raw: bytes, names: frozenset[str] | None, field: str) -> object:
    """Decode, refusing an object that names one of `names` (any name: None) twice. `field` is what the error names."""

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        value = dict(pairs)
        if len(value) != len(pairs):
            seen: set[str] = set()
            for key, _ in pairs:
                if key in seen and (names is None or key in names):
                    raise DuplicateField(field if names is None else key)
                seen.add(key)
        return value

    try:
        return json.loads(raw, object_pairs_hook=unique)
    except ValueError:  # a number of more digits than Python converts
        raise MalformedBody("The body holds a number that is too long.") from None
