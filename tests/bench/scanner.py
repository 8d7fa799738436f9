"""How fast the scanner is with 500 needles: MB of CPU time a second on one core, the automaton's making aside."""

import gzip
import json
import random
import secrets
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from governance.bodies.scanner.needles import Needle
from governance.bodies.scanner.search import Search

NEEDLES = 500
SIZE = 16 << 20
ROUNDS = 3


def json_log(size: int) -> bytes:
    """Lines as services write them, with ids, quotes and line breaks."""
    words = [secrets.token_urlsafe(random.randint(2, 7)) for _ in range(3000)]
    lines: list[bytes] = []
    while size > 0:
        record = {
            "time": "2026-11-24T10:00:00.123456Z",
            "level": "info",
            "event": " ".join(random.choices(words, k=8)),
            "request_id": secrets.token_hex(16),
            "id": "chatcmpl-" + secrets.token_urlsafe(24),
            "path": "/v1/chat/completions",
            "ms": random.random() * 100,
            "message": f'said "{random.choice(words)}"\n and that was all',
        }
        lines.append(json.dumps(record).encode() + b"\n")
        size -= len(lines[-1])
    return b"".join(lines)


def sqlite_file(path: Path, log: bytes) -> None:
    """Its rows are lines of the log."""
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, line TEXT)")
        connection.executemany("INSERT INTO t (line) VALUES (?)", ((line.decode(),) for line in log.splitlines()))
    connection.close()


def rate(needles: list[Needle], size: int, look: Callable[[Search], None]) -> float:
    """MB a second, the best of several rounds."""
    best = 0.0
    for _ in range(ROUNDS):
        search = Search(needles)
        begun = time.process_time()
        look(search)
        best = max(best, size / 1e6 / (time.process_time() - begun))
    return best


def main() -> None:
    """Print the table."""
    needles = [Needle(str(number), secrets.token_urlsafe(30).encode()) for number in range(NEEDLES)]
    log = json_log(SIZE)
    packed = gzip.compress(log, 6)
    noise = random.randbytes(SIZE)
    table = Table(title=f"scanner, {NEEDLES} needles", title_justify="left")
    for name in ("what", "MB", "MB/s"):
        table.add_column(name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.db"
        sqlite_file(path, log)
        for name, size, look in (
            ("JSON log", len(log), lambda search: search.bytes(log, "log")),
            ("SQLite file", path.stat().st_size, lambda search: search.path(path)),
            ("random bytes", SIZE, lambda search: search.bytes(noise, "random")),
            ("gzip of the log, unpacked", len(log), lambda search: search.bytes(packed, "gzip")),
        ):
            table.add_row(name, f"{size / 1e6:.0f}", f"{rate(needles, size, look):.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
