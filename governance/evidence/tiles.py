"""Tiles and entry bundles (c2sp.org/tlog-tiles) as files: whole on the disk or not there, and never with other content.

    tile/<L>/<N>[.p/<W>]          up to 256 hashes: MTH of the leaves (L = 0), or of the full tiles one level below
    tile/entries/<N>[.p/<W>]      up to 256 entries, each after its length as a big-endian uint16

A partial tile may go once the full one is published, as the specification allows.
"""

import os
import shutil
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from governance.durable import sync_folder
from governance.errors import Conflict, Rejected
from governance.evidence import merkle
from governance.evidence.merkle import HASH_BYTES

WIDTH = 256
ENTRIES = "entries"
_LEVEL_BITS = 8
_CACHED_MAX = 64
_LENGTH_BYTES = 2


def tile_path(level: int | str, number: int, width: int = WIDTH) -> str:
    """The path below the log's folder and address; `level` may be ENTRIES."""
    digits = f"{number % 1000:03d}"
    while number := number // 1000:
        digits = f"x{number % 1000:03d}/{digits}"
    return f"tile/{level}/{digits}" + (f".p/{width}" if width != WIDTH else "")


def widths(level: int, size: int) -> Iterator[tuple[int, int]]:
    """Number and width of each tile at a level of a tree."""
    hashes = size >> (_LEVEL_BITS * level)
    for number in range(hashes // WIDTH):
        yield number, WIDTH
    if hashes % WIDTH:
        yield hashes // WIDTH, hashes % WIDTH


def levels(size: int) -> int:
    """How many levels of tiles a tree has."""
    found = 0
    while size >> (_LEVEL_BITS * found):
        found += 1
    return found


def bundle(entries: Sequence[bytes]) -> bytes:
    """An entry bundle."""
    return b"".join(len(entry).to_bytes(_LENGTH_BYTES, "big") + entry for entry in entries)


def unbundle(data: bytes) -> list[bytes]:
    """The entries of a bundle. Raises Rejected where it is cut."""
    found, at = [], 0
    while at < len(data):
        start = at + _LENGTH_BYTES
        end = start + int.from_bytes(data[at:start], "big")
        if end > len(data) or start > len(data):
            raise Rejected("An entry bundle is cut.")
        found.append(data[start:end])
        at = end
    return found


def hashes_of(data: bytes) -> list[bytes]:
    """The hashes of a tile."""
    return [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]


class Tiles:
    """The tiles of one log's folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: OrderedDict[str, list[bytes]] = OrderedDict()

    def raw(self, level: int | str, number: int, width: int) -> bytes | None:
        """A tile as it rests, or as the start of the full one where the partial one is gone; None where neither is."""
        with suppress(FileNotFoundError):
            return (self._folder / tile_path(level, number, width)).read_bytes()
        try:
            full = (self._folder / tile_path(level, number)).read_bytes()
        except FileNotFoundError:
            return None
        return bundle(unbundle(full)[:width]) if level == ENTRIES else full[: width * HASH_BYTES]

    def older(self, level: int | str, size: int) -> Iterator[tuple[int, int, Path]]:
        """Number, width and file of the partial tiles that lie beside the last one of a level."""
        hashes = size >> (0 if isinstance(level, str) else _LEVEL_BITS * level)
        number = hashes // WIDTH
        folder = self._folder / (tile_path(level, number) + ".p")
        if folder.is_dir():
            for file in sorted(folder.iterdir()):
                if file.name.isdecimal() and int(file.name) < hashes % WIDTH:
                    yield number, int(file.name), file

    def start_of(self, level: int | str, number: int, width: int, of: int) -> bytes:
        """What the partial tile of a smaller tree must hold: the start of the one of width `of`."""
        data = self.raw(level, number, of) or b""
        if not isinstance(level, str):
            return data[: width * HASH_BYTES]
        with suppress(Rejected):
            return bundle(unbundle(data)[:width])
        return b""

    def hashes(self, level: int, number: int, width: int) -> list[bytes]:
        """A tile's hashes. Raises Conflict where it is missing or has another width."""
        path = tile_path(level, number, width)
        found = self._read.get(path)
        if found is None:
            found = self._read[path] = hashes_of(self.raw(level, number, width) or b"")
            while len(self._read) > _CACHED_MAX:
                self._read.popitem(last=False)
        if len(found) != width or len(found[-1]) != HASH_BYTES:
            raise Conflict(f"The tile {path} is missing or cut.")
        return found

    def entries(self, number: int, width: int) -> list[bytes]:
        """A bundle's entries. Raises Conflict where it is missing, cut or of another width."""
        try:
            found = unbundle(self.raw(ENTRIES, number, width) or b"")
        except Rejected:
            found = []
        if len(found) != width:
            raise Conflict(f"The entry bundle {tile_path(ENTRIES, number, width)} is missing or cut.")
        return found

    def between(self, start: int, end: int, size: int) -> Iterator[tuple[int, bytes]]:
        """Entries of a tree by position, from `start` to before `end`."""
        for number, width in widths(0, size):
            first = number * WIDTH
            if first < end and first + width > start:
                for position, entry in enumerate(self.entries(number, width), first):
                    if start <= position < end:
                        yield position, entry

    def subtree(self, size: int) -> merkle.Subtree:
        """MTH of parts of a tree, out of its tiles. What it returns raises Conflict as `hashes` does."""
        last = {(level, number): width for level in range(levels(size)) for number, width in _last(level, size)}

        def hashed(start: int, end: int) -> bytes:
            length = end - start
            if length & (length - 1):
                middle = start + merkle.split(length)
                return merkle.node_hash(hashed(start, middle), hashed(middle, end))
            height = length.bit_length() - 1
            level = height // _LEVEL_BITS
            span = _LEVEL_BITS * level  # bits of leaves under one hash of the tile
            number, at = divmod(start >> span, WIDTH)
            tile = self.hashes(level, number, last.get((level, number), WIDTH))
            return merkle.root(tile[at : at + (length >> span)])

        return hashed

    def root(self, size: int) -> bytes:
        """The root of a tree. Raises Conflict as `hashes` does."""
        return self.subtree(size)(0, size) if size else merkle.EMPTY_ROOT

    def extend(self, size: int, entries: Sequence[bytes]) -> int:
        """Write what a tree of `size` grows by; the new size. May be repeated with the same entries, after a crash too.

        Raises Conflict where a tile is there with other content: it would have been published.
        """
        new_size = size + len(entries)
        grown = [merkle.leaf_hash(entry) for entry in entries]
        self._grow(ENTRIES, size, entries)
        level = 0
        while grown:
            grown = self._grow(level, size >> (_LEVEL_BITS * level), grown)
            level += 1
        return new_size

    def _grow(self, level: int | str, size: int, more: Sequence[bytes]) -> list[bytes]:
        """Write one level's tiles from the last partial one on; the hashes of those that became full."""
        full = []
        number, width = divmod(size, WIDTH)
        row = list(more)
        if width:
            before = self.entries(number, width) if isinstance(level, str) else self.hashes(level, number, width)
            row = before + row
        for first in range(0, len(row), WIDTH):
            tile = row[first : first + WIDTH]
            data = bundle(tile) if level == ENTRIES else b"".join(tile)
            write_once(self._folder / tile_path(level, number + first // WIDTH, len(tile)), data)
            if len(tile) == WIDTH and level != ENTRIES:
                full.append(merkle.root(tile))
        return full

    def prune(self, size: int, new_size: int) -> None:
        """Drop the partial tiles of those that became full between two sizes, once the newer one is published."""
        for level in (ENTRIES, *range(levels(new_size))):
            span = 0 if level == ENTRIES else _LEVEL_BITS * int(level)
            number = (size >> span) // WIDTH
            if number < (new_size >> span) // WIDTH:
                folder = self._folder / (tile_path(level, number) + ".p")
                # A crash here leaves partial tiles behind, which harm nobody.
                shutil.rmtree(folder, ignore_errors=True)


def _last(level: int, size: int) -> Iterator[tuple[int, int]]:
    hashes = size >> (_LEVEL_BITS * level)
    if hashes % WIDTH:
        yield hashes // WIDTH, hashes % WIDTH


def make_folder(folder: Path) -> None:
    """A folder and those above it, each on the disk when this returns."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    with suppress(FileExistsError):
        folder.mkdir(0o700)
    sync_folder(folder.parent)


def replace(path: Path, data: bytes) -> None:
    """Put a file in the place of another, wholly or not at all."""
    make_folder(path.parent)
    draft = path.with_name(f".{path.name}.part")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb", closefd=False) as file:
            file.write(data)
        os.fsync(handle)
    finally:
        os.close(handle)
    draft.replace(path)
    sync_folder(path.parent)


def write_once(path: Path, data: bytes) -> None:
    """Write a file that never changes. Raises Conflict where it is there with other content."""
    try:
        there = path.read_bytes()
    except FileNotFoundError:
        replace(path, data)
        return
    if there != data:
        raise Conflict(f"{path.name} was published with other content: somebody changed the log's folder.")
    sync_folder(path.parent)  # whoever wrote it may have died before this
