"""The published list of edits to a request's bytes, and the splices that make them.

A native request reaches its provider byte for byte as the caller sent it (order, white space, number spelling,
escapes), but for edits on this list. Each replaces, removes or appends one top-level member; nothing else moves.
Planning is pure and per dialect (`router/providers/dialects`); applying knows no dialect.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from router.providers.scan import Scan

EDITS: Final[Mapping[str, str]] = {
    "provider": "`provider`, our routing preferences, is removed; for an aggregator it is set to the same constraint.",
    "model": "`model` becomes the provider's own name for the model; a Gemini body's copy of it is removed.",
    "store": "`store` is set to false, also where absent, unless the account lets the provider store content.",
    "metadata": "`metadata` of a chat completion is removed where we set `store` to false, and for an aggregator: it tags "
    "what is stored.",
    "user": "`user`, `safety_identifier` and Anthropic's `metadata` become a pseudonym made for that provider alone, "
    "or are removed where there is none.",
    "cache-key": "`prompt_cache_key` becomes the same pseudonym; it is removed under zero data retention.",
    "cache-retention": "`prompt_cache_retention` and all of `prompt_cache_options` but its `mode` are removed under "
    "zero data retention: a longer cache is retention.",
    "output-limit": "`max_tokens` and `max_completion_tokens` become the one that the provider honours, where it doesn't "
    "honour both.",
    "translated": "Between dialects the body is translated whole; `translated:FROM-TO` says from which to which.",
    "include-usage": "`stream_options.include_usage` is set to true so that a stream can be metered; the extra chunk "
    "that it brings is dropped from the answer.",
}


@dataclass(frozen=True, slots=True, repr=False)
class Policy:
    """What routing decided about one attempt; it says which edits are due.

    `upstream_user` is a pseudonym that means nothing outside that provider; `zdr` overrides `allow_store`.
    `include_usage_injected`: ask for the usage chunk that the caller didn't ask for (`Wire.injects_usage`).
    `upstream_provider`: for an aggregator, the constraint to send on in the `provider` field.
    `output_limit`: the only name that the provider knows for a chat's output limit; None where it knows both.
    """

    upstream_model: str
    upstream_user: str | None
    allow_store: bool = False
    zdr: bool = False
    include_usage_injected: bool = False
    upstream_provider: Mapping[str, object] | None = None
    output_limit: str | None = None
    aggregator: bool = False

    @property
    def may_store(self) -> bool:
        """The strictest of the two wins."""
        return self.allow_store and not self.zdr


@dataclass(frozen=True, slots=True)
class Edit:
    """One splice: `name` is a key of EDITS, `field` a top-level governed field, `value` anything msgspec encodes."""

    name: str
    op: Literal["set", "remove"]
    field: str
    value: object = dataclasses.field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.name not in EDITS:
            raise RuntimeError("an edit isn't published")


def put(name: str, target: str, value: object) -> Edit:
    """Set `target`, replacing its value or appending the member. `msgspec.Raw` is spliced in as it is."""
    return Edit(name, "set", target, value)


def remove(name: str, target: str) -> Edit:
    """Remove `target` and its separator; nothing happens where it is absent."""
    return Edit(name, "remove", target)


def applied(edits: Iterable[Edit]) -> tuple[str, ...]:
    """The published names of these edits, each once, in order: the value of the edits header."""
    return tuple(dict.fromkeys(edit.name for edit in edits))


def apply(scan: Scan, edits: Iterable[Edit]) -> bytes:
    """The body with these edits made, every other byte kept."""
    gone: set[int] = set()
    replaced: dict[int, bytes] = {}
    appended: dict[str, bytes] = {}
    for edit in edits:
        member = scan.member(edit.field)
        if edit.op == "remove":
            if member is not None:
                gone.add(member.start)
        elif member is not None:
            replaced[member.start] = msgspec.json.encode(edit.value)
        else:
            appended[edit.field] = msgspec.json.encode(edit.value)

    data, members = scan.data, scan.members
    out: list[bytes] = []
    kept = [i for i, member in enumerate(members) if member.start not in gone]
    last = kept[-1] if kept else -1
    pos = 0
    for i, member in enumerate(members):
        if member.start in gone and i < last:  # with the comma and white space up to the next member
            out.append(data[pos : member.start])
            pos = members[i + 1].start
        elif member.start in replaced and member.start not in gone:
            out += (data[pos : member.value_start], replaced[member.start])
            pos = member.end
    if members and last + 1 < len(members):  # a removed tail, with the comma before it
        out.append(data[pos : members[last].end if kept else members[0].start])
        pos = members[-1].end
    elif members:
        out.append(data[pos : members[-1].end])
        pos = members[-1].end
    else:
        out.append(data[: scan.open_at + 1])
        pos = scan.open_at + 1
    for name, value in appended.items():
        out += (b"," if kept else b"", msgspec.json.encode(name), b":", value)
        kept = kept or [0]
    out.append(data[pos:])
    return b"".join(out)
