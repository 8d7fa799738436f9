"""What is split, nested, cut off, broken or a bomb: found, or told, and never a hang."""

import base64
import bz2
import gzip
import io
import json
import os
import random
import zipfile
import zlib
from collections.abc import Callable

import brotli
import cramjam
import pytest

from governance.bodies.scanner import stream
from governance.bodies.scanner.control_encodings import ENCODINGS, Encoding, lz4_block, snappy_block
from governance.bodies.scanner.inflate import zstd
from governance.bodies.scanner.lz77 import Broken, lzf, pglz
from governance.bodies.scanner.lz77 import lz4_block as read_lz4
from governance.bodies.scanner.lz77 import snappy_block as read_snappy
from governance.bodies.scanner.needles import Needle
from governance.bodies.scanner.report import Report
from governance.bodies.scanner.search import Search
from governance.bodies.scanner.stream import WINDOW

TEXT = b'Kanarie 7f3b9c2d8e1a4f60 "Xyz" with/more'
NEEDLE = Needle("n", TEXT)


def looked(data: bytes) -> Report:
    search = Search([NEEDLE])
    search.bytes(data, "here")
    return search.report()


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


@pytest.mark.parametrize("cut", [0, 7, 20, len(TEXT) - 1])
@pytest.mark.parametrize("encoding", [each for each in ENCODINGS if not each.headless], ids=lambda each: each.name)
def test_nothing_is_lost_where_two_reads_meet(encoding: Encoding, cut: int) -> None:
    written = encoding.write(TEXT + b" " + TEXT if encoding.binary else TEXT)
    at = min(cut * len(written) // len(TEXT), len(written))
    assert looked(b". " * (WINDOW // 2 - (at + 1) // 2) + b"." * (at % 2) + written + b" .").findings


@pytest.mark.parametrize("name", ["gzip", "zlib", "zstd", "lz4 frame", "snappy frames", "bzip2", "xz"])
def test_what_is_compressed_is_found_behind_anything(name: str) -> None:
    write = next(each.write for each in ENCODINGS if each.name == name)
    large = noise(WINDOW + 5) + TEXT + b"|" + TEXT + noise(5000)
    packed = {"lz4 frame": bytes(cramjam.lz4.compress(large)), "snappy frames": bytes(cramjam.snappy.compress(large))}
    found = looked(noise(333) + (packed.get(name) or write(large)) + noise(99)).findings
    assert any(name.split()[0] in finding.form for finding in found)
    assert all(finding.offset is not None for finding in found)


def test_long_values_without_a_head_are_read_from_their_start() -> None:
    large = b"".join(b"%d %x|" % (n, n * 7919) for n in range(90_000)) + TEXT + b"the end of it"
    assert len(large) > WINDOW
    for packed in (brotli.compress(large, quality=5), zlib.compress(large)[2:-4], snappy_of(large), lz4_of(large)):
        assert any(" > " in finding.form for finding in looked(packed).findings)


def snappy_of(data: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(data))


def lz4_of(data: bytes) -> bytes:
    return bytes(cramjam.lz4.compress_block(data, store_size=False))


def test_layers_in_layers() -> None:
    inner = base64.b64encode(gzip.compress(TEXT * 2))
    line = json.dumps({"log": json.dumps({"body": inner.decode()})}).encode()
    outer = base64.encodebytes(bytes(zstd.compress(line * 2)))
    forms = {finding.form for finding in looked(b"X-Body: " + outer).findings}
    assert any(form.count(">") >= 4 and "zstd" in form and "gzip" in form for form in forms)


@pytest.mark.parametrize("key", ["content", "v"])
@pytest.mark.parametrize("write", [json.dumps, repr])
def test_pieces_are_joined_as_json_and_as_python_prints_them(write: Callable[[object], str], key: str) -> None:
    pieces = [TEXT[at : at + 3].decode() for at in range(0, len(TEXT), 3)]
    lines = "".join(f"12:00 {write({'n': number, 'delta': {key: piece}})}\n" for number, piece in enumerate(pieces))
    assert any("joined pieces" in finding.form for finding in looked(lines.encode()).findings)


def test_a_long_base64_run_over_many_reads() -> None:
    packed = gzip.compress(noise(3 * WINDOW) + TEXT + noise(100))
    assert looked(b'{"payload":"' + base64.b64encode(packed) + b'"}').findings
    assert looked(b"\\\\x" + packed.hex().encode()).findings


def test_the_offset_is_where_the_outermost_form_begins() -> None:
    before = b"some text. " * 50
    plain = looked(before + TEXT).findings
    assert [finding.offset for finding in plain] == [len(before)]
    packed = looked(before + gzip.compress(TEXT + TEXT)).findings
    assert [(finding.form, finding.offset) for finding in packed if "gzip" in finding.form] == [
        ("gzip > text", len(before))
    ]
    assert packed[0].matched == len(TEXT) and "Kanarie" not in repr(packed)


@pytest.mark.parametrize(
    "bomb",
    [
        gzip.compress(b"a" * (30 << 20), 1),
        gzip.compress(gzip.compress(b"\0" * (30 << 20), 1), 1),
        brotli.compress(b"\0" * (30 << 20), quality=1),
        bytes(zstd.compress(b"b" * (30 << 20))),
    ],
    ids=["gzip", "gzip in gzip", "brotli", "zstd"],
)
def test_a_bomb_is_told_and_ends(bomb: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "STREAM_MAX", 4 << 20)
    report = looked(bomb)
    assert [gap.why for gap in report.unread if "too much" in gap.why]
    assert report.seconds < 60  # a few seconds where nobody else is on the machine


def test_many_bombs_in_one_place_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "PLACE_MAX", 4 << 20)
    report = looked(gzip.compress(b"c" * (1 << 20)) * 9)
    assert [gap.why for gap in report.unread if "too much" in gap.why]


def test_many_streams_at_once_are_told() -> None:
    heads = b"".join(b"\x04\x22\x4d\x18\x60\x70\x73\xff\xff\x3f\0" + b"." * 8 for _ in range(100))
    assert any("at once" in gap.why for gap in looked(heads).unread)


def test_what_breaks_off_is_told_and_searched_until_there() -> None:
    packed = gzip.compress(TEXT + noise(100_000))
    cut = looked(packed[:-50_000])
    assert cut.findings and any("cut off" in gap.why for gap in cut.unread)
    broken = bytearray(bz2.compress(TEXT + noise(2_000_000)))
    broken[-5000:-4000] = bytes(1000)
    assert any("broken" in gap.why for gap in looked(bytes(broken)).unread)


def test_an_encrypted_archive_is_told() -> None:
    with zipfile.ZipFile(made := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", TEXT * 3)
    entry = bytearray(made.getvalue())
    assert looked(bytes(entry)).findings
    entry[6] |= 1
    assert any("encrypted" in gap.why for gap in looked(bytes(entry)).unread)


def test_nothing_is_found_where_nothing_is() -> None:
    words = b"the quick brown fox jumps over the lazy dog and says kanarie with spaces\n" * 3000
    for data in (noise(4 * WINDOW), words, base64.b64encode(noise(WINDOW)), gzip.compress(words)):
        report = looked(data)
        assert report.findings == [] and report.unread == [] and report.bytes_read == len(data)


def test_blocks_read_what_other_hands_wrote_and_write_what_others_read() -> None:
    texts = [b"", TEXT, TEXT * 50, noise(5000), b"ab" * 5000, bytes(70_000)]
    for text in texts:
        size = len(text)
        assert read_lz4(lz4_of(text), size) == text and read_snappy(snappy_of(text), size) == text
        assert bytes(cramjam.snappy.decompress_raw(snappy_block(text))) == text if size < 65536 else True
        if text:
            assert bytes(cramjam.lz4.decompress_block(lz4_block(text), output_len=size)) == text
    for broken in (b"\x10", b"\xff\xff", b"\x0f\x01\0", os.urandom(3)):
        for read in (read_lz4, read_snappy, pglz, lzf):
            try:
                read(broken, 100)
            except Broken:
                continue
