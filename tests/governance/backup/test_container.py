"""The sealed container: what was put in comes out, and nothing else ever does."""

import io
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from governance.backup import container
from governance.errors import Rejected, SealBroken

MADE = datetime(2026, 3, 1, 12, tzinfo=UTC)
HEADER = container.Header(MADE, MADE + timedelta(days=30), 7)
KEY, ROOT = bytes(range(32)), b"r" * 32
HEAD, CHUNK = 104, 64
PIECE = CHUNK + 16


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "_CHUNK_BYTES", CHUNK)


def sealed(path: Path, content: bytes) -> bytes:
    with path.open("wb") as target:
        container.seal(HEADER, KEY, ROOT, io.BytesIO(content), target)
    return path.read_bytes()


def opened(path: Path, key: bytes = KEY) -> tuple[bytes, bytes]:
    target = io.BytesIO()
    header, root = container.open_to(path, key, target)
    assert header == HEADER
    return root, target.getvalue()


@pytest.mark.parametrize("length", [0, 1, 29, 30, 31, 94, 95, 64 * 5 - 34, 1000])
def test_what_goes_in_comes_out(tmp_path: Path, length: int) -> None:
    content = os.urandom(length)
    whole = sealed(tmp_path / "b", content)
    assert opened(tmp_path / "b") == (ROOT, content)
    assert container.read_header(tmp_path / "b") == HEADER
    assert ROOT not in whole and KEY not in whole and (length < 8 or content not in whole)


def test_the_real_chunk_size_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "_CHUNK_BYTES", 64 * 1024)
    content = os.urandom(300_000)
    sealed(tmp_path / "b", content)
    assert opened(tmp_path / "b") == (ROOT, content)


def test_any_cut_is_found(tmp_path: Path) -> None:
    whole = sealed(tmp_path / "b", os.urandom(64 * 4 - 34))
    assert (len(whole) - HEAD) % PIECE == 0
    for end in range(len(whole)):
        (tmp_path / "b").write_bytes(whole[:end])
        with pytest.raises(SealBroken):
            opened(tmp_path / "b")


def test_swapped_repeated_dropped_and_added_chunks_are_found(tmp_path: Path) -> None:
    whole = sealed(tmp_path / "b", os.urandom(64 * 5 - 34))
    head, body = whole[:HEAD], whole[HEAD:]
    pieces = [body[at : at + PIECE] for at in range(0, len(body), PIECE)]
    first, second, *rest = pieces
    for wrong in ([second, first, *rest], [first, first, *rest], [first, *rest], [*pieces, rest[-1]], [*pieces, b"x"]):
        (tmp_path / "b").write_bytes(head + b"".join(wrong))
        with pytest.raises(SealBroken):
            opened(tmp_path / "b")


def test_every_altered_byte_is_found(tmp_path: Path) -> None:
    whole = sealed(tmp_path / "b", os.urandom(100))
    for at in range(len(whole)):
        (tmp_path / "b").write_bytes(whole[:at] + bytes((whole[at] ^ 1,)) + whole[at + 1 :])
        with pytest.raises(SealBroken):
            opened(tmp_path / "b")


def test_another_key_opens_nothing_and_is_told_apart(tmp_path: Path) -> None:
    sealed(tmp_path / "b", b"content")
    with pytest.raises(SealBroken, match="isn't the backup's"):
        opened(tmp_path / "b", os.urandom(32))


def test_a_key_file_is_read_back_and_a_wrong_one_refused(tmp_path: Path) -> None:
    (tmp_path / "k").write_text(container.key_text(KEY, "b"))
    assert container.read_key(tmp_path / "k") == KEY
    for text in ("", "valueapi-backup-key-1 AAAA", "valueapi-backup-key-1 !", "\u00e9"):
        (tmp_path / "k").write_text(text)
        with pytest.raises(Rejected):
            container.read_key(tmp_path / "k")
    with pytest.raises(Rejected):
        container.read_key(tmp_path / "none")
