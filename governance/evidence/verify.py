"""Checks the log as it rests in its folder. Needs no database and no secret, and locates what doesn't fit.

Every entry bundle is hashed against its tile, every tile against the tile above, every checkpoint against the tree and its
signature, and each checkpoint against the next by a consistency proof; entries that are given are opened against their
leaves.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import UUID

from governance.errors import Conflict, Rejected
from governance.evidence import checkpoint, merkle, note
from governance.evidence.checkpoint import Checkpoint
from governance.evidence.entry import Entry, Opened, commitment, parse
from governance.evidence.folder import LogFolder
from governance.evidence.note import NoteKey
from governance.evidence.positions import ranges
from governance.evidence.tiles import ENTRIES, WIDTH, Tiles, levels, tile_path, widths


@dataclass(frozen=True, slots=True)
class Finding:
    """What doesn't fit, and where: positions from `first` to before `end`, where it is about some."""

    what: str
    first: int | None = None
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """An entry whose position its store doesn't know; `since`: what the store knows all positions before."""

    salt: bytes
    entry: bytes
    since: int


@dataclass(slots=True)
class Report:
    """What was checked. `start`: the first position whose leaf was given."""

    origin: str
    keys: tuple[str, ...]
    size: int = 0
    start: int = 0
    checkpoints: int = 0
    cosigned: int = 0
    opened: int = 0
    findings: list[Finding] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)

    @property
    def not_given(self) -> int:
        return self.size - self.opened

    @property
    def lost(self) -> set[int]:
        """Positions that an entry says a restore has lost."""
        parts = (part for entry in self.entries for part in entry.detail.get("lost", ()))
        return {position for first, end in parts for position in range(first, end)}

    @property
    def ok(self) -> bool:
        return not self.findings


def heads(
    report: Report, raw: Iterable[tuple[str, bytes]], keys: Sequence[NoteKey], witnesses: Sequence[NoteKey]
) -> list[Checkpoint]:
    """The checkpoints whose form and signatures hold, by size; the others become findings. `raw`: name and bytes."""
    found: list[Checkpoint] = []
    cosigned: set[Checkpoint] = set()
    for name, data in raw:
        try:
            signed = note.parse(data)
            signed.signed_by(keys)
            head = checkpoint.read(signed)
            if witnesses and any(each.is_of(key) for each in signed.signatures for key in witnesses):
                signed.signed_by(witnesses)
                cosigned.add(head)
        except Rejected as error:
            report.findings.append(Finding(f"Checkpoint {name}: {error}"))
            continue
        if head.origin != report.origin:
            report.findings.append(Finding(f"Checkpoint {name} is of another log."))
            continue
        found.append(head)
    # The newest lies there twice.
    report.checkpoints, report.cosigned = len(set(found)), len(cosigned & set(found))
    ordered = sorted(found, key=lambda head: head.size)
    if not ordered:
        report.findings.append(
            Finding("There is no checkpoint that a known key signed: nothing shows that this is the log.")
        )
    elif witnesses and ordered[-1] not in cosigned:
        report.findings.append(Finding("The newest checkpoint isn't cosigned by a witness that was named."))
    return ordered


def roots(report: Report, found: Sequence[Checkpoint], subtree: merkle.Subtree, size: int) -> None:
    """Every checkpoint against the tree, and against the one before it; the first that doesn't fit tells where."""
    before: Checkpoint | None = None
    for head in found:
        first = before.size if before is not None else report.start
        if head.size > size:
            report.findings.append(
                Finding(f"The tree ends at {size}, checkpoint {head.size} says more.", size, head.size)
            )
            return
        if head.size < report.start:
            continue
        try:
            made = subtree(0, head.size) if head.size else merkle.EMPTY_ROOT
            proof = merkle.consistency(before.size, head.size, subtree) if before is not None else []
        except Conflict as error:
            report.findings.append(Finding(str(error), first, head.size))
            continue
        if made != head.root:
            report.findings.append(
                Finding(f"The root of checkpoint {head.size} isn't that of the tree.", first, head.size)
            )
            return  # no later one can fit
        elif before is not None and not merkle.extends(before.size, head.size, before.root, head.root, proof):
            report.findings.append(
                Finding(f"Checkpoint {head.size} doesn't extend checkpoint {before.size}.", first, head.size)
            )
        else:
            before = head


def open_entries(
    report: Report, leaves: dict[int, bytes], given: Iterable[Opened], waiting: Iterable[Waiting] = ()
) -> set[int]:
    """Entries that were given, each against the leaf at its position; positions that something was given for. One that waits
    and whose leaf is there is given for it."""
    first_at: dict[bytes, int] = {}
    for position, each_leaf in leaves.items():
        if (first := first_at.setdefault(each_leaf, position)) != position:
            what = f"The leaf at {position} is that at {first} once more: one entry was taken in twice."
            report.findings.append(Finding(what, position, position + 1))
    seen: set[int] = set()
    ids: set[UUID] = set()
    for each in _placed(given, waiting, first_at):
        at, wrong, entry = each.position, "", None
        seen.add(at)
        try:
            entry = parse(each.entry)
            if commitment(each.salt, each.entry) != leaves.get(at):
                wrong = f"The entry given for {at} isn't what the log has there."
        except ValueError:
            wrong = f"The entry given for {at} is none."
        if entry is not None and not wrong:
            if entry.id in ids:
                wrong = f"The entry at {at} was given twice."
            elif each.id not in (None, entry.id):
                wrong = f"The row of the entry at {at} bears another id."
        if entry is None or wrong:
            report.findings.append(Finding(wrong, at, at + 1))
            continue
        ids.add(entry.id)
        report.opened += 1
        report.entries.append(entry)
    return seen


def _placed(given: Iterable[Opened], waiting: Iterable[Waiting], first_at: Mapping[bytes, int]) -> Iterator[Opened]:
    """What was given, and of what waits the published, which a crash or a moment keeps from knowing its position: none of
    before what its store remembers, since that is written together."""
    seen = set()
    for each in given:
        seen.add(each.position)
        yield each
    for row in waiting:
        position = first_at.get(commitment(row.salt, row.entry))
        if position is not None and position >= row.since and position not in seen:
            yield Opened(position, row.salt, row.entry)


def absent(report: Report, seen: set[int], size: int) -> None:
    """Positions before `size` that nothing was given for, and that no entry says a restore has lost."""
    lost = report.lost
    for first, end in ranges(at for at in range(size) if at not in seen and at not in lost):
        what = "The stores lack entries of the log, and none says that a restore has lost them."
        report.findings.append(Finding(what, first, end))


def folder(
    where: LogFolder,
    *,
    keys: Sequence[NoteKey] = (),
    witnesses: Sequence[NoteKey] = (),
    given: Iterable[Opened] = (),
    waiting: Iterable[Waiting] = (),
    complete: int = 0,
    remembered: Iterable[tuple[str, Checkpoint]] = (),
) -> Report:
    """Check a whole folder. `keys`: those known from elsewhere; without, those in the folder, which are its own word.
    `waiting`: entries whose position isn't known yet. `complete`: everything that the stores have was given of so many
    entries, so that what is missing is missing there. `remembered`: checkpoints that somebody remembers, and who does.

    Raises Rejected where there is no log in it.
    """
    origin = where.origin
    trusted = list(keys) or where.verifiers()
    if origin is None or not trusted:
        raise Rejected("There is no transparency log in this folder.")
    report = Report(origin, tuple(str(key) for key in trusted))
    for foreign in (key for key in where.listed() if keys and key not in trusted):
        report.findings.append(Finding(f"The folder lists a verifier key that isn't the log's: {foreign}."))
    raw = [(str(size), where.raw_checkpoint(size)) for size in where.sizes()]
    try:
        raw.append(("newest", (where.path / "checkpoint").read_bytes()))
    except FileNotFoundError:
        report.findings.append(Finding("The newest checkpoint is missing."))
    found = heads(report, raw, trusted, witnesses)
    report.size = found[-1].size if found else 0
    tiles = where.tiles
    leaves = _bundles(report, tiles, report.size)
    _tiles(report, tiles, report.size)
    roots(report, found, tiles.subtree(report.size), report.size)
    _remembered(report, remembered, tiles.subtree(report.size))
    absent(report, open_entries(report, leaves, given, waiting), complete)
    return report


def _remembered(report: Report, heads: Iterable[tuple[str, Checkpoint]], subtree: merkle.Subtree) -> None:
    """What others hold of this log must be a beginning of it."""
    for who, head in heads:
        if head.size > report.size:
            what = f"The log ends at {report.size}, {who} remembers {head.size} entries."
            report.findings.append(Finding(what, report.size, head.size))
            continue
        with suppress(Conflict):  # tiles that are missing were found already
            if head.origin != report.origin or (subtree(0, head.size) if head.size else merkle.EMPTY_ROOT) != head.root:
                report.findings.append(Finding(f"What {who} remembers isn't a beginning of this log.", 0, head.size))


def _bundles(report: Report, tiles: Tiles, size: int) -> dict[int, bytes]:
    """Every entry bundle against its tile; the leaves by position."""
    leaves: dict[int, bytes] = {}
    for number, width in widths(0, size):
        first = number * WIDTH
        try:
            entries = tiles.entries(number, width)
            hashes = tiles.hashes(0, number, width)
        except Conflict as error:
            report.findings.append(Finding(str(error), first, first + width))
            continue
        for position, (entry, hashed) in enumerate(zip(entries, hashes, strict=True), first):
            leaves[position] = entry
            if merkle.leaf_hash(entry) != hashed:
                report.findings.append(
                    Finding(f"The leaf at {position} differs between entry bundle and tile.", position, position + 1)
                )
    return leaves


def _tiles(report: Report, tiles: Tiles, size: int) -> None:
    """Every tile above the leaves against the full tiles below it, and older partial ones against the newer."""
    for level in range(1, levels(size)):
        for number, width in widths(level, size):
            try:
                above = tiles.hashes(level, number, width)
            except Conflict as error:
                span = WIDTH**level
                report.findings.append(Finding(str(error), number * WIDTH * span, (number * WIDTH + width) * span))
                continue
            for at, hashed in enumerate(above, number * WIDTH):
                span = WIDTH**level
                try:
                    made = merkle.root(tiles.hashes(level - 1, at, WIDTH))
                except Conflict:
                    continue  # said already
                if made != hashed:
                    report.findings.append(
                        Finding(
                            f"{tile_path(level, number, width)} and {tile_path(level - 1, at)} differ.",
                            at * span,
                            (at + 1) * span,
                        )
                    )
    for level in (ENTRIES, *range(levels(size))):
        span = 1 if isinstance(level, str) else WIDTH**level
        for number, width, file in tiles.older(level, size):
            newest = (size // span) % WIDTH
            try:
                data = file.read_bytes()
            except FileNotFoundError:
                continue  # the full tile was published meanwhile
            if tiles.start_of(level, number, width, newest) != data:
                first = number * WIDTH * span
                what = f"{tile_path(level, number, width)} isn't the start of the tile that followed it."
                report.findings.append(Finding(what, first, first + width * span))
