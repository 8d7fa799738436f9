"""Every way to change one entry of a log where it rests, and of a bundle: each says what it did and must be found."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from governance.evidence.entry import Entry, EntryType, Opened, parse
from governance.evidence.tiles import ENTRIES, WIDTH, bundle, tile_path, unbundle
from tests.governance.evidence.made import Made

Bundle = dict[str, Any]


def flip(data: bytes, bit: int) -> bytes:
    at = bit // 8 % len(data)
    return data[:at] + bytes((data[at] ^ 1 << bit % 8,)) + data[at + 1 :]


def changed_rows(rows: list[Opened], at: int, bit: int) -> Iterator[tuple[str, list[Opened]]]:
    """The stores' rows with one entry changed, field by field: the row's, and those within the entry."""

    def with_(**new: Any) -> list[Opened]:
        return [*rows[:at], replace(rows[at], **new), *rows[at + 1 :]]

    row, entry = rows[at], parse(rows[at].entry)
    other = EntryType.INCIDENT_CLOSED if entry.type is not EntryType.INCIDENT_CLOSED else EntryType.KEY_ROTATED
    yield "row id", with_(id=uuid4())
    yield "salt", with_(salt=flip(row.salt, bit))
    yield "salt cut", with_(salt=row.salt[:-1])
    yield "position", with_(position=row.position + 1)
    yield "entry bytes", with_(entry=flip(row.entry, bit))
    yield "removed", rows[:at] + rows[at + 1 :]
    for name, new in (
        ("id", replace(entry, id=uuid4())),
        ("time", replace(entry, time=entry.time + timedelta(microseconds=1))),
        ("type", replace(entry, type=other)),
        ("subject", replace(entry, subject=uuid4())),
        *((f"detail {name}", _with_detail(entry, name)) for name in entry.detail),
    ):
        yield name, with_(entry=new.canonical, id=new.id)


def _with_detail(entry: Entry, name: str) -> Entry:
    value = entry.detail[name]
    changed = (
        value + 1
        if isinstance(value, int) and not isinstance(value, bool)
        else not value
        if isinstance(value, bool)
        else value[::-1] + "0"
    )
    return replace(entry, detail={**entry.detail, name: changed})


@contextmanager
def file_with(path: Path, data: bytes | None) -> Iterator[None]:
    good = path.read_bytes()
    if data is None:
        path.unlink()
    else:
        path.write_bytes(data)
    try:
        yield
    finally:
        path.write_bytes(good)


def changed_files(log: Made, at: int, bit: int) -> Iterator[tuple[str, Path, bytes | None]]:
    """Files of the folder with one entry's part changed: in its bundle, its tile, and the tiles above."""
    size = len(log.entries)
    number, inside = divmod(at, WIDTH)
    width = min(size - number * WIDTH, WIDTH)
    path = log.folder.path / tile_path(ENTRIES, number, width)
    entries = unbundle(path.read_bytes())
    yield "leaf flipped", path, bundle([*entries[:inside], flip(entries[inside], bit), *entries[inside + 1 :]])
    yield "leaf removed", path, bundle(entries[:inside] + entries[inside + 1 :])
    yield "leaf put in", path, bundle([*entries[:inside], b"x" * 32, *entries[inside:]])
    if len(entries) > 1:
        other = (inside + 1) % len(entries)
        swapped = list(entries)
        swapped[inside], swapped[other] = entries[other], entries[inside]
        yield "leaves swapped", path, bundle(swapped)
    yield "bundle cut", path, path.read_bytes()[:-1]
    yield "bundle gone", path, None
    tile = log.folder.path / tile_path(0, number, width)
    data = tile.read_bytes()
    yield (
        "hash flipped",
        tile,
        data[: inside * 32] + flip(data[inside * 32 : inside * 32 + 32], bit) + data[inside * 32 + 32 :],
    )
    yield "tile gone", tile, None
    if width == WIDTH:
        above = log.folder.path / tile_path(1, 0, size // WIDTH)
        data = above.read_bytes()
        yield (
            "hash above flipped",
            above,
            data[: number * 32] + flip(data[number * 32 : number * 32 + 32], bit) + data[number * 32 + 32 :],
        )


def changed_bundles(good: Bundle, at: int, bit: int) -> Iterator[tuple[str, Bundle, bool]]:
    """Bundles with one thing changed about an entry; whether it is to be located at that position."""

    def text(change: Callable[[bytes], bytes], value: str) -> str:
        return base64.b64encode(change(base64.b64decode(value))).decode()

    def with_(**new: Any) -> Bundle:
        return json.loads(json.dumps(good | new))  # type: ignore[no-any-return]

    leaves, entries, heads = good["leaves"], good["entries"], good["checkpoints"]
    index = next(i for i, each in enumerate(entries) if each["position"] == at)
    inside = at - good["since"]
    flipped = text(lambda data: flip(data, bit), leaves[inside])
    yield "leaf flipped", with_(leaves=[*leaves[:inside], flipped, *leaves[inside + 1 :]]), True
    yield "leaf removed", with_(leaves=leaves[:inside] + leaves[inside + 1 :]), True
    yield "leaf put in", with_(leaves=[*leaves[:inside], flipped, *leaves[inside:]]), True
    yield "leaf no base64", with_(leaves=[*leaves[:inside], "?", *leaves[inside + 1 :]]), True
    if inside + 1 < len(leaves):
        swapped = [*leaves[:inside], leaves[inside + 1], leaves[inside], *leaves[inside + 2 :]]
        yield "leaves swapped", with_(leaves=swapped), True

    def entry_with(**new: Any) -> Bundle:
        return with_(entries=[*entries[:index], entries[index] | new, *entries[index + 1 :]])

    yield "salt", entry_with(salt=text(lambda data: flip(data, bit), entries[index]["salt"])), True
    yield "entry", entry_with(entry=entries[index]["entry"].replace('"type":"', '"type":"x')), True
    yield "entry not canonical", entry_with(entry=entries[index]["entry"] + " "), True
    yield "position", entry_with(position=at + 1), False
    yield "position beyond", entry_with(position=10**9), False
    yield "entry twice", with_(entries=[*entries, entries[index]]), True
    head = heads[bit % len(heads)]
    lines = head.split("\n")
    changed = [
        ("checkpoint root", head.replace(lines[2], text(lambda data: flip(data, bit), lines[2]))),
        ("checkpoint size", head.replace(f"\n{lines[1]}\n", f"\n{int(lines[1]) + 1}\n")),
        ("checkpoint origin", head.replace(lines[0], "x" + lines[0], 1)),
        ("checkpoint signature", head[:-20] + ("A" if head[-20] != "A" else "B") + head[-19:]),
        ("checkpoint cut", head[:-1]),
    ]
    for what, note in changed:
        yield what, with_(checkpoints=[note if each == head else each for each in heads]), False
    yield "last leaf missing", with_(leaves=leaves[:-1]), False
    yield "last checkpoint missing", with_(checkpoints=heads[:-1]), False
    if good["since"]:
        yield "peak", with_(peaks=[text(lambda data: flip(data, bit), good["peaks"][0]), *good["peaks"][1:]]), False
