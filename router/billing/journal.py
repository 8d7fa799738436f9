"""The journal: what a request cost, on the operating system's side before its last byte goes out, sealed.

One folder a machine (`<home>/data/journal`), in it

    folder.id                      random id of this folder; a lease names it
    <process uuid>.lock            flocked for the process's life: free means dead
    <process uuid>-<seq>.journal   segments, 0600, append only, deleted when wholly committed

A segment is a row of records, integers big-endian:

    0    4   length n of the payload
    4    4   CRC-32 of the length field and the payload
    8    16  record id, random
    24   4   length a of envelope A
    28   a   envelope A, under the service key `journal-money`: request id, account, lease, subject, charge
    28+a …   envelope B, under the subject's key (the money key where there is none): the rest, as msgpack

Both envelopes are bound to the record id, so halves can't be swapped. After an erasure B can't be opened any more, and
replay posts the money alone. The subject's random id stands in A because it names the key of B.

Room comes first: before a request is served, room for its record is promised out of segments whose blocks are allocated
already, so a disk that fills up meanwhile can't refuse the record. The blocks lie behind the end of the file (fallocate
with KEEP_SIZE): its length is what was written, for a reader as after a crash.
"""

import asyncio
import contextlib
import ctypes
import errno
import fcntl
import os
import struct
import time
import zlib
from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from pathlib import Path
from uuid import UUID

import msgspec

from governance import sinks
from governance.durable import sync_folder
from governance.errors import SealBroken
from governance.ids import NIL, uuid7
from governance.vault import envelope
from governance.vault.envelope import Key
from router.billing.meter_event import MeterEvent

MONEY_KEY = "journal-money"
"""Name of the service key of envelope A."""

RECORD_BYTES_MAX = 4096
"""Of a whole record. The names in it are bounded where they come from; the usual record is a tenth of this."""

_CHUNK = 512 * 1024
_FALLOC_FL_KEEP_SIZE = 1  # fallocate(2)
_HEAD = struct.Struct(">II")
_PREFIX = struct.Struct(">16sI")
_MONEY = struct.Struct(">16s16s16s16sQ")


@dataclass(frozen=True, slots=True)
class Money:
    """What must be posted whatever becomes of the person."""

    request_id: UUID
    account_id: UUID
    lease_id: UUID
    subject_id: UUID | None
    charge_microcredits: int


class _Rest(msgspec.Struct, array_like=True, frozen=True):
    """Envelope B: an event without the fields of envelope A."""

    api_key_id: UUID
    at_ms: int
    endpoint: str
    model: str
    provider: str
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    estimated: bool
    latency_ms: int
    first_byte_ms: int | None
    status: int
    outcome: str
    ip: str | None
    user_agent: str | None
    cache_write_tokens: int = 0  # last, and absent in a record that an earlier version left


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Rest)


def seal_record(event: MeterEvent, lease_id: UUID, money_key: Key, subject_key: Key | None) -> bytes:
    """One whole record. `subject_key` is None only for an event without a subject.

    A text of it that the guard withholds is left out; the charge never is.
    """
    if (event.subject_id is None) != (subject_key is None):
        raise ValueError("an event with a subject is sealed under the subject's key, one without under the service's")
    passed = partial(sinks.passed, sinks.Sink.JOURNAL)
    ip, user_agent = (
        None if text is None or sinks.withholds(sinks.Sink.JOURNAL, text) else text
        for text in (event.ip, event.user_agent)
    )
    record_id = os.urandom(16)
    money = _MONEY.pack(
        event.request_id.bytes,
        event.account_id.bytes,
        lease_id.bytes,
        (event.subject_id or NIL).bytes,
        event.charge_microcredits,
    )
    rest = _Rest(
        event.api_key_id, event.at_ms, passed(event.endpoint), passed(event.model), passed(event.provider), event.input_tokens,
        event.cached_input_tokens, event.output_tokens, event.estimated, event.latency_ms, event.first_byte_ms,
        event.status, event.outcome, ip, user_agent, event.cache_write_tokens,
    )  # fmt: skip
    first = envelope.seal(money_key, money, b"jrnA" + record_id)
    second = envelope.seal(subject_key or money_key, _encoder.encode(rest), b"jrnB" + record_id)
    payload = _PREFIX.pack(record_id, len(first)) + first + second
    if _HEAD.size + len(payload) > RECORD_BYTES_MAX:
        raise ValueError("a meter event is too large for the journal")
    length = len(payload).to_bytes(4, "big")
    return length + zlib.crc32(payload, zlib.crc32(length)).to_bytes(4, "big") + payload


def open_money(money_key: Key, payload: bytes) -> Money:
    """Envelope A of a record. Raises SealBroken."""
    record_id, first, _ = _split(payload)
    plain = envelope.open_envelope(money_key, first, b"jrnA" + record_id)
    try:
        request_id, account_id, lease_id, subject_id, charge = _MONEY.unpack(plain)
    except struct.error:
        raise SealBroken("A journal record holds something else than money.") from None
    return Money(
        UUID(bytes=request_id),
        UUID(bytes=account_id),
        UUID(bytes=lease_id),
        UUID(bytes=subject_id) if subject_id != NIL.bytes else None,
        charge,
    )


def key_of_event(payload: bytes) -> UUID:
    """Id of the key of envelope B: the subject's, which a rotation may have replaced since. Raises SealBroken."""
    return envelope.key_ids(_split(payload)[2])[0]


def open_event(key: Key, payload: bytes, money: Money) -> MeterEvent:
    """Envelope B of a record, with its money the whole event again. Raises SealBroken."""
    record_id, _, second = _split(payload)
    plain = envelope.open_envelope(key, second, b"jrnB" + record_id)
    try:
        rest = _decoder.decode(plain)
        return MeterEvent(
            request_id=money.request_id,
            account_id=money.account_id,
            subject_id=money.subject_id,
            charge_microcredits=money.charge_microcredits,
            **msgspec.structs.asdict(rest),
        )
    except ValueError:  # msgspec's DecodeError is one
        raise SealBroken("A journal record holds something else than usage.") from None


def _split(payload: bytes) -> tuple[bytes, bytes, bytes]:
    if len(payload) < _PREFIX.size:
        raise SealBroken("A journal record is incomplete.")
    record_id, length = _PREFIX.unpack_from(payload)
    rest = payload[_PREFIX.size :]
    return record_id, rest[:length], rest[length:]


class Tail(Enum):
    """How a run of records ends."""

    CLEAN = "clean"
    SHORT = "short"  # the bytes end inside a record
    CORRUPT = "corrupt"  # a length or checksum that no writer made


def parse(data: bytes, limit: int) -> tuple[list[bytes], int, Tail]:
    """Payloads of the whole records at the start of `data` (at most `limit`), the bytes they take, and what follows."""
    payloads: list[bytes] = []
    at = 0
    while len(payloads) < limit and at < len(data):
        if at + _HEAD.size > len(data):
            return payloads, at, Tail.SHORT
        length, checksum = _HEAD.unpack_from(data, at)
        if not 0 < length <= RECORD_BYTES_MAX - _HEAD.size:
            return payloads, at, Tail.CORRUPT
        end = at + _HEAD.size + length
        if end > len(data):
            return payloads, at, Tail.SHORT
        payload = data[at + _HEAD.size : end]
        if zlib.crc32(payload, zlib.crc32(data[at : at + 4])) != checksum:
            return payloads, at, Tail.CORRUPT
        payloads.append(payload)
        at = end
    return payloads, at, Tail.CLEAN


@dataclass(slots=True)
class Segment:
    """A segment file as its reader sees it. `complete`: nobody appends to it any more."""

    path: Path
    complete: bool
    offset: int = 0
    appended: int = 0
    """Records written by this process; 0 where another wrote it."""
    committed: int = 0
    unreadable: int = 0

    def read(self, limit: int) -> tuple[list[bytes], int, bool]:
        """Payloads from `offset`, the offset after them, and whether what follows there is damaged. Doesn't advance."""
        try:
            with self.path.open("rb", buffering=0) as file:
                data = os.pread(file.fileno(), _CHUNK, self.offset)
        except FileNotFoundError:
            # Deleted under us: all that was in it is damage.
            return [], self.offset, True
        payloads, used, tail = parse(data, limit)
        # A chunk holds one whole record at least, so a full one that ends short only ends before the file does.
        short = tail is Tail.SHORT and self.complete and len(data) < _CHUNK
        return payloads, self.offset + used, tail is Tail.CORRUPT or short

    def bytes_left(self) -> int:
        """Bytes from `offset` to the end."""
        try:
            return self.path.stat().st_size - self.offset
        except FileNotFoundError:
            return 0


def open_folder(folder: Path) -> UUID:
    """Make the journal folder on first use; its id. Whoever comes first names it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / "folder.id"
    if not path.exists():
        draft = folder / f".folder.id.{uuid7()}"
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(handle, uuid7().bytes)
            os.fsync(handle)
        finally:
            os.close(handle)
        # A link fails where a sibling was first, and never shows a half-written file.
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()
        sync_folder(folder)
    return UUID(bytes=path.read_bytes())


def lock_path(folder: Path, process_id: UUID) -> Path:
    """The file whose lock says that the process lives."""
    return folder / f"{process_id}.lock"


def take_lock(folder: Path, process_id: UUID) -> int | None:
    """The process's lock as a file descriptor; None where somebody has it, or had it and is done."""
    path = lock_path(folder, process_id)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(handle).st_ino == path.stat().st_ino:
            return handle
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(handle)
    return None


def processes(folder: Path) -> set[UUID]:
    """Processes that left a lock file or a segment here, living ones included."""
    found = set()
    for path in folder.iterdir():
        if path.suffix in (".lock", ".journal"):
            with contextlib.suppress(ValueError):
                found.add(UUID(path.name[:36]))
    return found


def segments_of(folder: Path, process_id: UUID) -> list[Segment]:
    """A dead process's segments in the order of writing."""
    paths = folder.glob(f"{process_id}-*.journal")
    return [Segment(path, complete=True) for path in sorted(paths, key=lambda path: int(path.stem[37:]))]


def _create(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)


def _allocate(handle: int, size: int) -> None:
    """Give the file blocks behind its end, without making it longer. Raises OSError where there are too few."""
    libc = ctypes.CDLL(None, use_errno=True)
    while libc.fallocate(handle, _FALLOC_FL_KEEP_SIZE, ctypes.c_long(0), ctypes.c_long(size)):
        number = ctypes.get_errno()
        if number == errno.EOPNOTSUPP:
            # This file system can't put blocks aside: that there are enough now is all that can be known.
            found = os.fstatvfs(handle)
            if found.f_bavail * found.f_frsize >= size:
                return
            number = errno.ENOSPC
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))


@dataclass(slots=True)
class JournalWriter:
    """Appends records. Owned by one process and one event loop; raises RuntimeError once closed."""

    folder: Path
    process_id: UUID
    segment_bytes: int = 1024 * 1024
    segment_seconds: float = 10.0
    folder_id: UUID = NIL
    segments: deque[Segment] = field(default_factory=deque)
    """Segments not wholly committed yet, the newest last. The committer takes them from the left."""
    _lock: int = -1
    _handle: int = -1
    _size: int = 0
    _room: int = 0
    """Bytes of the open segment that were allocated; 0 where it was opened for a record that nobody had announced."""
    _opened: float = 0.0
    _next: int = 0
    _spares: deque[tuple[Path, int]] = field(default_factory=deque)
    """Allocated segments, empty yet: path and descriptor."""
    _promised: int = 0
    _unsynced: list[int] = field(default_factory=list)
    _dirty: bool = False

    def __post_init__(self) -> None:
        self.folder_id = open_folder(self.folder)
        for _ in range(1000):
            lock = take_lock(self.folder, self.process_id)
            if lock is not None:
                break
            # An adopter looked at the new file before it was locked; it finds nothing and deletes it.
            time.sleep(0.001)
        else:
            raise RuntimeError("a process id names one process: this one's journal is locked")
        self._lock = lock
        sync_folder(self.folder)

    @property
    def closed(self) -> bool:
        return self._lock < 0

    def promise(self) -> bool:
        """Put room for one record aside until `redeem`; False where `make_room` comes first. No I/O."""
        if self._promised >= self._records(self._room - self._size) + self._records_spare():
            return False
        self._promised += 1
        return True

    def redeem(self) -> None:
        """A promised record was appended, or isn't coming."""
        self._promised -= 1

    def make_room(self) -> None:
        """Allocate until one more record can be promised. Raises OSError where the disk hasn't got it."""
        while self._promised >= self._records(self._room - self._size) + self._records_spare():
            self._add_spare()

    def append(self, record: bytes) -> None:
        """One record, by one write. It survives the process from here on, the machine from the next `flush` on.

        Raises OSError where the disk refuses it: then nothing of it counts.
        """
        if self.closed:
            raise RuntimeError("the journal is closed")
        if self._size and self._size + len(record) > self.segment_bytes:
            self.rotate()
        while True:
            if self._handle < 0:
                self._open_segment()
            try:
                written = os.write(self._handle, record)
                if written != len(record):
                    raise OSError(errno.ENOSPC, "short write")
                break
            except OSError:
                # Never write behind half a record.
                self.rotate()
                if not self._spares:
                    raise
        # A crash here leaves a whole record: the next process posts it.
        self._size += written
        self._dirty = True
        self.segments[-1].appended += 1

    def _records(self, room: int) -> int:
        """How many records fit into so many bytes for certain. An end too short for one isn't missed: none was promised."""
        return max(0, room) // RECORD_BYTES_MAX

    def _records_spare(self) -> int:
        return len(self._spares) * self._records(self._allocation)

    @property
    def _allocation(self) -> int:
        return max(self.segment_bytes, RECORD_BYTES_MAX)

    def _add_spare(self) -> None:
        path = self._next_path()
        handle = _create(path)
        try:
            _allocate(handle, self._allocation)
        except OSError:
            os.close(handle)
            path.unlink()
            raise
        # A crash from here on leaves an empty segment: the adopter deletes it.
        self._spares.append((path, handle))

    def _next_path(self) -> Path:
        path = self.folder / f"{self.process_id}-{self._next}.journal"
        self._next += 1
        return path

    def _open_segment(self) -> None:
        if self._spares:
            path, self._handle = self._spares.popleft()
            self._room = self._allocation
        else:
            path = self._next_path()
            self._handle = _create(path)
            self._room = 0
        self._size = 0
        self._opened = time.monotonic()
        self.segments.append(Segment(path, complete=False))

    def rotate(self) -> None:
        """End the segment after its last whole record and free what is allocated behind; the next opens another."""
        if self._handle >= 0:
            with contextlib.suppress(OSError):
                os.ftruncate(self._handle, self._size)
            self._unsynced.append(self._handle)
            self._handle = -1
            self._size = self._room = 0
            self._dirty = True
            self.segments[-1].complete = True

    def retire(self) -> None:
        """End the segment once what is promised has room elsewhere. Raises OSError where there is none: it goes on."""
        if self._handle >= 0:
            while self._promised > self._records_spare():
                self._add_spare()
            self.rotate()

    def retire_if_due(self) -> None:
        """End a segment that has been open long enough, so that what is committed doesn't rest here any longer."""
        if self._handle >= 0 and time.monotonic() - self._opened >= self.segment_seconds:
            self.retire()

    async def flush(self) -> None:
        """Everything appended so far survives a loss of power (fdatasync, in a thread). One caller at a time."""
        if not self._dirty:
            return
        self._dirty = False
        retired, self._unsynced = self._unsynced, []
        # The open segment's descriptor may be retired meanwhile, but is closed only here and in `close`.
        current = [self._handle] if self._handle >= 0 else []
        try:
            await asyncio.to_thread(_sync, self.folder, retired + current)
        except OSError:
            self._dirty = True
            raise
        finally:
            for handle in retired:
                os.close(handle)

    def close(self, *, remove: bool) -> None:
        """Give up the lock. `remove` when everything is committed and every lease closed; else a sibling adopts."""
        if self.closed:
            return
        self.rotate()
        for handle in self._unsynced:
            os.close(handle)
        self._unsynced = []
        for path, handle in self._spares:
            os.close(handle)
            path.unlink(missing_ok=True)
        self._spares.clear()
        if remove and not self.segments:
            lock_path(self.folder, self.process_id).unlink(missing_ok=True)
        os.close(self._lock)
        self._lock = -1


def _sync(folder: Path, handles: list[int]) -> None:
    for handle in handles:
        os.fdatasync(handle)
    sync_folder(folder)
