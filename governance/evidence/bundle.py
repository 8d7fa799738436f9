"""A bundle: one JSON file from which anybody checks the log offline, by `valueapi audit verify` or `verify_log.py`.

format        "valueapi-transparency-bundle/1"
origin, keys  the log's, the keys as verifier keys
since, peaks  the bundle's first position, and the hashes of the whole subtrees before it (base64, the largest first)
leaves        the commitments from `since` on, base64
checkpoints   every one of `since` entries or more, as signed
entries       what opens leaves: {"position": …, "salt": base64, "entry": the canonical JSON as text}
"""

import base64
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from governance.errors import Rejected
from governance.evidence import merkle, verify
from governance.evidence.entry import Opened
from governance.evidence.folder import LogFolder
from governance.evidence.merkle import HASH_BYTES
from governance.evidence.note import NoteKey
from governance.evidence.tiles import replace
from governance.evidence.verify import Finding, Report

FORMAT = "valueapi-transparency-bundle/1"


def write(where: LogFolder, given: Iterable[Opened], out: Path, since: int = 0) -> int:
    """Make a bundle of the log as it is now; its size. `given`: what opens leaves.

    Raises Rejected where there is no log, or `since` is beyond its end.
    """
    latest = where.latest()
    if latest is None or since > latest[0].size:
        raise Rejected("The transparency log has no such position.", field="since")
    size, tiles = latest[0].size, where.tiles
    hashed = tiles.subtree(size)
    document = {
        "format": FORMAT,
        "origin": latest[0].origin,
        "keys": [str(key) for key in where.verifiers()],
        "since": since,
        "peaks": [_text(hashed(*peak)) for peak in merkle.peaks(since)],
        "leaves": [_text(leaf) for _, leaf in tiles.between(since, size, size)],
        "checkpoints": [where.raw_checkpoint(each).decode() for each in where.sizes() if since <= each < size]
        + [str(latest[1])],
        "entries": [
            {"position": each.position, "salt": _text(each.salt), "entry": each.entry.decode()}
            for each in sorted(given, key=lambda each: each.position)
            if since <= each.position < size
        ],
    }
    replace(out.absolute(), json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n")
    return size


def check(data: bytes, *, keys: Sequence[NoteKey] = (), witnesses: Sequence[NoteKey] = ()) -> Report:
    """Check a bundle. `keys`: those known from elsewhere; without, the bundle's, which are its own word.

    Raises Rejected for what is no bundle.
    """
    whole = _parsed(data)
    trusted = list(keys) or [NoteKey.parse(text) for text in whole["keys"]]
    leaves, before = [_bytes(text) for text in whole["leaves"]], [_bytes(text) for text in whole["peaks"]]
    since, size = whole["since"], whole["since"] + len(whole["leaves"])
    report = Report(whole["origin"], tuple(str(key) for key in trusted), start=since)
    raw = ((f"number {at}", text.encode()) for at, text in enumerate(whole["checkpoints"], 1))
    found = verify.heads(report, raw, trusted, witnesses)
    report.size = found[-1].size if found else size
    if len(before) != len(merkle.peaks(since)) or any(len(each) != HASH_BYTES for each in before):
        raise Rejected("The bundle's peaks don't fit its first position.")
    if report.size != size:
        what = f"The bundle has leaves up to {size}, its newest checkpoint says {report.size}."
        report.findings.append(Finding(what, min(size, report.size), max(size, report.size)))
    tree = merkle.Leaves(since, before, [merkle.leaf_hash(leaf) for leaf in leaves])
    verify.roots(report, found, tree.subtree, size)
    given = (Opened(each["position"], _bytes(each["salt"]), each["entry"].encode()) for each in whole["entries"])
    verify.open_entries(report, dict(enumerate(leaves, since)), given)
    return report


def _parsed(data: bytes) -> dict[str, Any]:
    """A bundle's object, each member of its type. Raises Rejected."""
    try:
        whole = json.loads(data)
        texts = [whole["origin"], *whole["keys"], *whole["peaks"], *whole["leaves"], *whole["checkpoints"]]
        texts += [each[name] for each in whole["entries"] for name in ("salt", "entry")]
        numbers = [whole["since"], *(each["position"] for each in whole["entries"])]
        fits = whole["format"] == FORMAT and all(isinstance(each, str) for each in texts)
        if not fits or not all(isinstance(each, int) and each >= 0 for each in numbers):
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Rejected("That is no bundle of a transparency log.") from None
    return dict(whole)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    """Empty where it is no base64: then it opens and fits nothing, and is found at its place."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""
