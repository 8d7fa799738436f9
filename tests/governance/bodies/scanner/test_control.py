"""The positive control finds everything where the scanner is whole, and misses where a part of it is taken away."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from governance.bodies.scanner import automaton, control, decode, formats, magic, needles, process, search, stream
from governance.bodies.scanner.control import Control, positive_control
from governance.bodies.scanner.control_encodings import ENCODINGS
from governance.bodies.scanner.control_sinks import Link, Sink, local_sinks, shared_sinks
from tests.services.postgres import Postgres
from tests.services.redis import redis_server

# Every sink of a server is tried in the suite, with one encoding of each kind; `make battery` tries all in all.
OF_EACH_KIND = ("UTF-8", "gzip in base64")


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with redis_server() as url:
        yield url


async def test_every_encoding_is_found_in_every_file_and_in_sqlite(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    result = await positive_control(tmp_path, progress=lambda done, total: told.append((done, total)))
    assert result.missed == [] and result.found_all
    sinks = [*local_sinks(tmp_path / "other"), *shared_sinks()]
    assert result.by_sink.keys() == {sink.name for sink in sinks} and result.planted == sum(result.by_sink.values())
    assert told[-1] == (len(sinks), len(sinks))
    for sink in sinks:
        await sink.clear()


async def test_every_sink_of_the_servers(
    tmp_path: Path, fresh_postgres: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = ENCODINGS if os.environ.get("BATTERY") else [each for each in ENCODINGS if each.name in OF_EACH_KIND]
    monkeypatch.setattr(control, "ENCODINGS", few)
    monkeypatch.setattr(control, "local_sinks", lambda folder: [])
    result = await positive_control(tmp_path, postgres_url=fresh_postgres, redis_url=redis_url, shared=False)
    assert result.missed == [] and result.found_all
    names = " ".join(result.by_sink)
    for part in (
        "by SQL",
        "table file",
        "TOAST, pglz",
        "dead rows",
        "log",
        "page images",
        "Redis string",
        "Redis dump",
    ):
        assert part in names


async def one_sink(folder: Path, monkeypatch: pytest.MonkeyPatch, *names: str) -> Control:
    def sinks(folder: Path) -> list[Sink]:
        return [sink for sink in (*local_sinks(folder), Link(folder, "symbolic link")) if sink.name in names]

    monkeypatch.setattr(control, "local_sinks", sinks)
    return await positive_control(folder, shared=False)


HEADS = {
    "gzip": b"\x1f\x8b\x08", "zstd": b"\x28\xb5\x2f\xfd", "lz4 frame": b"\x04\x22\x4d\x18", "xz": b"\xfd7zXZ\0",
    "snappy frames": b"\xff\x06\0\0sNaPpY", "zip": b"PK\x03\x04",
}  # fmt: skip


@pytest.mark.parametrize("name", HEADS)
async def test_it_misses_a_compression_that_is_not_known(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_heads = magic.heads

    def without(data: bytes) -> object:
        begins, keys = all_heads(data)
        return [each for each in begins if each[2].first != HEADS[name]], keys

    monkeypatch.setattr(stream.magic, "heads", without)
    result = await one_sink(tmp_path, monkeypatch, "file")
    assert f"{name} in file" in result.missed and not result.found_all


@pytest.mark.parametrize(
    "module, part, instead, missed",
    [
        (stream.magic, "without_head", lambda value, any_end=False: (), "brotli in file"),
        (stream.magic, "block_without_head", lambda value: (), "lz4 block in file"),
        (stream.decode, "unescaped", lambda data: data, "\\u escapes in file"),
        (stream.decode, "runs", lambda data: (), "gzip in base64 in file"),
        (stream.decode, "hex_bytes", lambda text: (), "zstd in hex in file"),
        (stream.decode, "short_value", lambda data, end: None, "streamed in pieces in file"),
        (automaton, "fold", bytes, "UTF-16-LE in file"),
        (automaton, "spellings", lambda n, v: [next(iter(needles.spellings(n, v)))], "hex, spaced in file"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_it_misses_what_a_part_taken_away_would_find(
    module: object, part: str, instead: object, missed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, part, instead)
    if part == "hex_bytes":
        monkeypatch.setattr(decode, "run_decoders", lambda run: ())
    assert missed in (await one_sink(tmp_path, monkeypatch, "file")).missed


@pytest.mark.parametrize("sink", ["SQLite overflow pages", "SQLite deleted row", "SQLite log, large values"])
async def test_it_misses_what_a_format_hides(sink: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "values", lambda file, path: ())
    result = await one_sink(tmp_path, monkeypatch, sink)
    assert f"brotli in {sink}" in result.missed


@pytest.mark.parametrize(
    "module, part, instead, sink, missed",
    [
        (stream, "OVERLAP", 1, "file over two reads", {"16 bytes of it"}),
        (stream.byte_lists, "written", lambda data: (), "file", {"byte list of Node", "byte list of Go"}),
        (automaton, "MATCHED_MIN", 24, "file", {"16 bytes of it", "base64 of 16 bytes of it"}),
        (search.os, "readlink", lambda path: b"", "symbolic link", {"UTF-8", "gzip", "base32"}),
    ],
    ids=("overlap", "byte lists", "fragments", "links"),
)
async def test_it_misses_what_is_searched_less_closely(
    module: object, part: str, instead: object, sink: str, missed: set[str],
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    result = await one_sink(tmp_path / "whole", monkeypatch, sink)
    assert result.found_all
    monkeypatch.setattr(module, part, instead)
    result = await one_sink(tmp_path / "less", monkeypatch, sink)
    assert {f"{each} in {sink}" for each in missed} <= set(result.missed)


async def test_it_misses_a_file_that_only_a_process_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "open_files", lambda pid: ())
    result = await one_sink(tmp_path, monkeypatch, "deleted file that is open")
    assert result.by_sink == {"deleted file that is open": 0} and len(result.missed) == result.planted > 0


async def test_toast_and_log_are_missed_without_their_readers(
    tmp_path: Path, postgres: Postgres, fresh_postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "ENCODINGS", [each for each in ENCODINGS if each.name == "UTF-8"])
    monkeypatch.setattr(control, "local_sinks", lambda folder: [])
    monkeypatch.setattr(formats, "values", lambda file, path: ())
    result = await positive_control(tmp_path, postgres_url=fresh_postgres, shared=False)
    assert {"UTF-8 in PostgreSQL compressed in the row, pglz", "UTF-8 in PostgreSQL page images, pglz"} <= set(
        result.missed
    )


def test_a_control_that_planted_nothing_shows_nothing() -> None:
    assert (
        not Control().found_all and not Control(planted=1, missed=["a in b"]).found_all and Control(planted=1).found_all
    )
