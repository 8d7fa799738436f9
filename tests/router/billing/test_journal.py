"""Records are whole or not there, sealed in halves, and a folder's locks say who lives."""

import ctypes
import errno
import fcntl
import os
import stat
from pathlib import Path
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.errors import SealBroken
from governance.ids import uuid7
from governance.sinks import WITHHELD, Sink
from governance.vault.envelope import Key
from router.billing import journal
from router.billing.journal import JournalWriter, Segment, Tail
from tests.router.billing.book import IP, USER_AGENT, Customer
from tests.services.guarding import PROMPT, guarding
from tests.services.small_disk import small_disk

MONEY = Key(uuid4(), b"m" * 32)
SUBJECT = Key(uuid4(), b"s" * 32)
MADE = Customer(SUBJECT, uuid4())
LEASE = uuid4()


def record(charge: int = 5, **changes: object) -> bytes:
    return journal.seal_record(MADE.event(charge, **changes), LEASE, MONEY, SUBJECT)


RECORDS = [record(n) for n in range(3)]
ROW = b"".join(RECORDS)
ENDS = [0, len(RECORDS[0]), len(RECORDS[0] + RECORDS[1]), len(ROW)]


def test_a_record_opens_as_the_event_that_it_was() -> None:
    event = MADE.event(17, first_byte_ms=None, ip=None)
    (payload,), _, _ = journal.parse(journal.seal_record(event, LEASE, MONEY, SUBJECT), 9)
    money = journal.open_money(MONEY, payload)
    assert money == journal.Money(event.request_id, event.account_id, LEASE, event.subject_id, 17)
    assert journal.open_event(SUBJECT, payload, money) == event


def test_what_the_guard_withholds_is_left_out_and_the_charge_is_not(event_log: Path) -> None:
    leaked = MADE.event(17, user_agent=PROMPT[:60], ip=PROMPT[:40], model=PROMPT)
    with guarding() as guard:
        (payload,), _, _ = journal.parse(journal.seal_record(leaked, LEASE, MONEY, SUBJECT), 9)
        (whole,), _, _ = journal.parse(record(3), 9)
        assert {sink for sink, _ in guard.places} == {Sink.JOURNAL}
    money = journal.open_money(MONEY, payload)
    event = journal.open_event(SUBJECT, payload, money)
    assert (event.charge_microcredits, event.ip, event.user_agent, event.model) == (17, None, None, WITHHELD)
    assert event.input_tokens == leaked.input_tokens and event.provider == leaked.provider
    assert journal.open_event(SUBJECT, whole, journal.open_money(MONEY, whole)).user_agent == USER_AGENT


def test_money_opens_without_the_subject_s_key_and_the_rest_does_not() -> None:
    (payload,), _, _ = journal.parse(record(), 9)
    money = journal.open_money(MONEY, payload)
    assert money.charge_microcredits == 5
    with pytest.raises(SealBroken):
        journal.open_event(MONEY, payload, money)


def test_without_a_subject_the_service_key_seals_both() -> None:
    event = MADE.event(3, subject_id=None)
    (payload,), _, _ = journal.parse(journal.seal_record(event, LEASE, MONEY, None), 9)
    assert journal.open_event(MONEY, payload, journal.open_money(MONEY, payload)) == event
    with pytest.raises(ValueError, match="sealed under"):
        journal.seal_record(event, LEASE, MONEY, SUBJECT)
    with pytest.raises(ValueError, match="sealed under"):
        journal.seal_record(MADE.event(3), LEASE, MONEY, None)


def test_halves_of_two_records_do_not_fit_together() -> None:
    (one, two), _, _ = journal.parse(RECORDS[0] + RECORDS[1], 9)
    length = int.from_bytes(one[16:20], "big")
    swapped = one[: 20 + length] + two[20 + int.from_bytes(two[16:20], "big") :]
    money = journal.open_money(MONEY, swapped)
    with pytest.raises(SealBroken):
        journal.open_event(SUBJECT, swapped, money)
    with pytest.raises(SealBroken):
        journal.open_money(MONEY, two[:16] + one[16:])


def test_a_cut_at_every_byte_keeps_exactly_the_records_before_it() -> None:
    for cut in range(len(ROW) + 1):
        payloads, used, tail = journal.parse(ROW[:cut], 9)
        whole = sum(end <= cut for end in ENDS[1:])
        assert len(payloads) == whole
        assert used == ENDS[whole]
        assert tail is (Tail.CLEAN if cut in ENDS else Tail.SHORT)


@settings(max_examples=300, deadline=None)
@given(cut=st.integers(0, len(ROW)), rest=st.binary(max_size=64) | st.integers(1, 8192).map(bytes))
def test_a_cut_with_anything_behind_it_never_makes_a_record(cut: int, rest: bytes) -> None:
    """A power loss may leave zeroes or old blocks behind the last byte that reached the disk."""
    payloads, used, tail = journal.parse(ROW[:cut] + rest, 9)
    assert payloads == journal.parse(ROW, 9)[0][: len(payloads)]
    if (ROW[:cut] + rest)[: len(ROW)] != ROW[: cut + len(rest)]:
        assert tail is not Tail.CLEAN
        assert used <= cut


@settings(max_examples=300, deadline=None)
@given(at=st.integers(0, len(ROW) - 1), flip=st.integers(1, 255))
def test_a_changed_byte_ends_the_row_before_its_record(at: int, flip: int) -> None:
    changed = ROW[:at] + bytes([ROW[at] ^ flip]) + ROW[at + 1 :]
    payloads, used, tail = journal.parse(changed, 9)
    before = sum(end <= at for end in ENDS[1:])
    assert (len(payloads), used) == (before, ENDS[before])
    assert tail is not Tail.CLEAN


def test_what_is_too_large_is_refused_before_it_is_written() -> None:
    with pytest.raises(ValueError, match="too large"):
        record(user_agent="x" * journal.RECORD_BYTES_MAX)


def test_files_are_private_and_hold_nothing_readable(folder: Path) -> None:
    writer = JournalWriter(folder, uuid4())
    event = MADE.event(123456789)
    writer.append(journal.seal_record(event, LEASE, MONEY, SUBJECT))
    content = b"".join(path.read_bytes() for path in folder.iterdir())
    names = "".join(path.name for path in folder.iterdir()).encode()

    def found(needle: bytes) -> bool:
        return needle in content or needle in names

    secrets = [IP.encode(), USER_AGENT.encode(), b"simulator", (123456789).to_bytes(8, "big")]
    for value in (event.request_id, event.account_id, event.subject_id, event.api_key_id, LEASE):
        assert value is not None
        secrets += [value.bytes, str(value).encode(), value.hex.encode()]
    assert [needle for needle in secrets if found(needle)] == []
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    # The search would find it.
    (folder / "planted.journal").write_bytes(b"-" + USER_AGENT.encode())
    content = b"".join(path.read_bytes() for path in folder.iterdir())
    assert found(USER_AGENT.encode())
    writer.close(remove=False)


def test_one_record_is_one_write(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = JournalWriter(folder, uuid4())
    written: list[int] = []
    real = os.write

    def count(handle: int, data: bytes) -> int:
        written.append(len(data))
        return real(handle, data)

    monkeypatch.setattr(os, "write", count)
    writer.append(RECORDS[0])
    assert written == [len(RECORDS[0])]
    writer.close(remove=False)


@pytest.mark.parametrize("fault", ["short", "error", "short, and can't be cut off"])
def test_a_refused_write_leaves_nothing_that_hides_what_follows(
    folder: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    writer = JournalWriter(folder, uuid4())
    writer.append(RECORDS[0])
    real = os.write

    def refuse(handle: int, data: bytes) -> int:
        if fault == "error":
            raise OSError(errno.ENOSPC, "full")
        return real(handle, data[:50])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", refuse)
        if "cut off" in fault:
            patch.setattr(os, "ftruncate", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "no")))
        with pytest.raises(OSError, match=r"full|short"):
            writer.append(RECORDS[1])
    writer.append(RECORDS[2])
    found = [segment.read(9) for segment in writer.segments]
    assert [len(payloads) for payloads, _, _ in found] == [1, 1]
    assert found[0][2] is ("cut off" in fault)
    assert [segment.appended for segment in writer.segments] == [1, 1]
    writer.close(remove=False)


def test_segments_rotate_by_size_and_time(folder: Path) -> None:
    writer = JournalWriter(folder, uuid4(), segment_bytes=len(RECORDS[0]) + len(RECORDS[1]))
    for part in RECORDS:
        writer.append(part)
    assert [segment.complete for segment in writer.segments] == [True, False]
    writer.retire_if_due()
    assert not writer.segments[-1].complete
    writer.segment_seconds = 0.0
    writer.retire_if_due()
    assert writer.segments[-1].complete
    assert len(writer.segments) == 2
    writer.close(remove=False)


async def test_flush_brings_every_open_and_retired_segment_to_the_disk(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = JournalWriter(folder, uuid4(), segment_bytes=1)
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    await writer.flush()
    assert synced == []
    writer.append(RECORDS[0])
    writer.append(RECORDS[1])
    await writer.flush()
    assert len(synced) == 2
    await writer.flush()
    assert len(synced) == 2

    def fail(_: int) -> None:
        raise OSError(errno.EIO, "no")

    writer.append(RECORDS[2])
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fail)
        with pytest.raises(OSError, match="no"):
            await writer.flush()
    await writer.flush()
    assert len(synced) == 3
    writer.close(remove=False)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_what_is_promised_fits_without_asking_the_disk_again(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Whatever is promised, appended, given back and retired before the disk fills up."""
    writer = JournalWriter(tmp_path_factory.mktemp("journal"), uuid4(), segment_bytes=3 * journal.RECORD_BYTES_MAX)
    promised = 0
    for step in data.draw(st.lists(st.sampled_from(["promise", "append", "give back", "retire"]), max_size=40)):
        if step == "promise":
            writer.make_room()
            assert writer.promise()
            promised += 1
        elif step == "retire":
            writer.retire()
        elif promised:
            if step == "append":
                writer.append(bytes(data.draw(st.integers(1, journal.RECORD_BYTES_MAX))))
            writer.redeem()
            promised -= 1

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "_create", full)
        for _ in range(promised):
            writer.append(bytes(journal.RECORD_BYTES_MAX))
            writer.redeem()
    writer.close(remove=False)


def test_a_full_disk_takes_what_was_promised_and_promises_no_more(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1536k") as disk:
        writer = JournalWriter(disk.path / "journal", uuid4())
        writer.make_room()
        promised = 0
        while writer.promise():
            promised += 1
        assert promised == writer.segment_bytes // journal.RECORD_BYTES_MAX
        disk.fill()
        with pytest.raises(OSError, match="No space"):
            writer.make_room()
        with pytest.raises(OSError, match="No space"):
            writer.append(RECORDS[0])
            writer.retire()
        assert not writer.segments[-1].complete
        largest = record(user_agent="x" * 3_600)
        for _ in range(promised - 1):
            writer.append(largest)
            writer.redeem()
        # A power loss or a crash leaves a file that is as long as what was written.
        writer.segments[-1].complete = True
        assert writer.segments[-1].path.stat().st_size == len(RECORDS[0]) + (promised - 1) * len(largest)
        writer.close(remove=False)
        disk.free()


def test_a_segment_gives_back_the_room_that_it_did_not_need(folder: Path) -> None:
    writer = JournalWriter(folder, uuid4())
    writer.make_room()
    (path,) = folder.glob("*.journal")
    assert path.stat().st_blocks * 512 >= writer.segment_bytes and path.stat().st_size == 0
    writer.append(RECORDS[0])
    assert path.stat().st_size == len(RECORDS[0])
    writer.rotate()
    assert path.stat().st_blocks * 512 < 64 * 1024
    writer.make_room()
    writer.close(remove=False)
    assert list(folder.glob("*.journal")) == [path], "an unused segment was left behind"


def test_where_the_file_system_cannot_put_blocks_aside_its_free_space_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Libc:
        def fallocate(self, *_: object) -> int:
            ctypes.set_errno(errno.EOPNOTSUPP)
            return -1

    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Libc())
    writer = JournalWriter(tmp_path / "few", uuid4())
    writer.make_room()
    assert writer.promise()
    writer.close(remove=False)
    writer = JournalWriter(tmp_path / "many", uuid4(), segment_bytes=2**62)
    with pytest.raises(OSError, match="No space"):
        writer.make_room()
    assert not writer.promise()
    assert list((tmp_path / "many").glob("*.journal")) == []
    writer.close(remove=False)


def test_a_long_segment_is_read_in_chunks(folder: Path) -> None:
    writer = JournalWriter(folder, uuid4(), segment_bytes=2**30)
    one = record(user_agent="x" * 3_500)
    for _ in range(300):
        writer.append(one)
    writer.rotate()
    segment = writer.segments[0]
    count = 0
    while True:
        payloads, end, damaged = segment.read(1000)
        assert not damaged
        if not payloads:
            break
        count += len(payloads)
        segment.offset = end
    assert count == 300
    assert segment.bytes_left() == 0
    writer.close(remove=False)


def test_a_segment_that_vanished_is_damage(tmp_path: Path) -> None:
    segment = Segment(tmp_path / "gone.journal", complete=True)
    assert segment.read(9) == ([], 0, True)
    assert segment.bytes_left() == 0


def test_a_lock_is_one_process_s_until_it_lets_go(folder: Path) -> None:
    process_id = uuid4()
    writer = JournalWriter(folder, process_id)
    assert journal.take_lock(folder, process_id) is None
    assert journal.processes(folder) == {process_id}
    writer.append(RECORDS[0])
    writer.close(remove=True)
    # Uncommitted segments: the lock file stays, to be found.
    assert journal.processes(folder) == {process_id}
    handle = journal.take_lock(folder, process_id)
    assert handle is not None
    assert journal.take_lock(folder, process_id) is None
    os.close(handle)
    with pytest.raises(RuntimeError, match="closed"):
        writer.append(RECORDS[0])


def test_a_lock_on_a_deleted_file_is_no_lock(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An adopter deletes the file between another's open and flock: the other must not think that it has it."""
    journal.open_folder(folder)
    process_id = uuid4()
    real = fcntl.flock

    def late(handle: int, operation: int) -> None:
        journal.lock_path(folder, process_id).unlink()
        real(handle, operation)

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", late)
        assert journal.take_lock(folder, process_id) is None
    handle = journal.take_lock(folder, process_id)
    assert handle is not None
    os.close(handle)


def test_a_folder_keeps_its_id_and_an_unused_writer_leaves_nothing(folder: Path) -> None:
    first = journal.open_folder(folder)
    writer = JournalWriter(folder, uuid4())
    assert isinstance(first, UUID)
    assert writer.folder_id == journal.open_folder(folder) == first
    writer.close(remove=True)
    writer.close(remove=True)
    assert [path.name for path in folder.iterdir()] == ["folder.id"]
    assert journal.processes(folder) == set()


def test_segments_are_found_in_the_order_of_writing(folder: Path) -> None:
    folder.mkdir(parents=True)
    process_id = uuid4()
    for number in (10, 2, 1):
        (folder / f"{process_id}-{number}.journal").touch()
    (folder / f"{uuid4()}-0.journal").touch()
    (folder / "other.journal").touch()
    names = [segment.path.stem.rsplit("-", 1)[1] for segment in journal.segments_of(folder, process_id)]
    assert names == ["1", "2", "10"]
    assert len(journal.processes(folder)) == 2


def test_a_record_of_before_cache_writes_were_counted_is_read() -> None:
    old = [uuid7(), 1, "chat", "m", "p", 11, 3, 7, False, 120, None, 200, "completed", None, None]
    rest = journal._decoder.decode(msgspec.msgpack.encode(old))
    assert (rest.user_agent, rest.cache_write_tokens) == (None, 0)
