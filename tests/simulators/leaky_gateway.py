"""A gateway that leaks on demand, as gateways do: what the probe must find. `python -m tests.simulators.leaky_gateway`.

Leaks: `gzip-log` (each body into a compressed log), `error-rows` (an upstream's error text in SQLite), `temp-files`
(bodies spooled and left), `printed-heads` (the user agent on standard output), `redirects` (followed with the prompt),
`late-log` (bodies in a buffer that is written three seconds after the last).

`stalls` is no leak: it answers the first five requests with 503, as one does whose machine stood still.
"""

import argparse
import gzip
import http.client
import sqlite3
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

LEAKS = ("gzip-log", "error-rows", "temp-files", "printed-heads", "redirects", "late-log", "stalls")
_HOP = {"host", "connection", "content-length", "transfer-encoding", "keep-alive"}


def make(home: Path, upstream: str, leaks: frozenset[str]) -> type[BaseHTTPRequestHandler]:
    lock = threading.Lock()
    log = gzip.GzipFile(home / "bodies.log.gz", "ab") if "gzip-log" in leaks else None
    rows = sqlite3.connect(home / "gateway.db", check_same_thread=False, isolation_level=None)
    rows.execute("PRAGMA journal_mode=WAL")
    rows.execute("CREATE TABLE IF NOT EXISTS usage (path TEXT, status INTEGER, error TEXT)")

    late: list[bytes] = []
    timers: list[threading.Timer] = []
    stalled = iter(range(5 if "stalls" in leaks else 0))

    def flush() -> None:
        (home / "late.log").write_bytes(b"\n".join(late))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            with lock:
                if log is not None:
                    log.write(body + b"\n")
                    log.flush()
                if "printed-heads" in leaks:
                    print("request by", self.headers.get("user-agent"), flush=True)
                if "late-log" in leaks:
                    late.append(body)
                    for timer in timers:
                        timer.cancel()
                    timers[:] = [threading.Timer(3.0, flush)]
                    timers[0].start()
            if "temp-files" in leaks:
                with tempfile.NamedTemporaryFile(dir=home, prefix="spool-", delete=False) as spool:
                    spool.write(body)
            try:
                if next(stalled, None) is not None:
                    raise OSError
                status, kind, answer = self._forward(upstream + self.path, body)
            except (OSError, http.client.HTTPException):
                status, kind, answer = 502, "text/plain", b"the upstream broke off"
            with lock:
                error = answer.decode("utf-8", "replace") if status >= 400 and "error-rows" in leaks else None
                rows.execute("INSERT INTO usage VALUES (?, ?, ?)", (self.path.partition("?")[0][:40], status, error))
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def _forward(self, url: str, body: bytes) -> tuple[int, str, bytes]:
            parts = urlsplit(url)
            connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=2)
            headers = {"content-type": "application/json", "authorization": "Bearer of the upstream"}
            try:
                connection.request("POST", parts.path, body, headers)
                answer = connection.getresponse()
                if 300 <= answer.status < 400 and "redirects" in leaks:
                    return self._forward(answer.headers["location"], body)
                return answer.status, answer.headers.get("content-type", "text/plain"), answer.read()
            finally:
                connection.close()

        do_GET = do_PUT = do_PATCH = do_DELETE = do_POST

        def log_message(self, *arguments: object) -> None:
            pass

    return Handler


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("home", type=Path)
    parser.add_argument("upstream")
    parser.add_argument("leaks", nargs="*")
    parser.add_argument("--port", type=int, default=0)
    given = parser.parse_args()
    assert set(given.leaks) <= set(LEAKS)
    server = ThreadingHTTPServer(("127.0.0.1", given.port), make(given.home, given.upstream, frozenset(given.leaks)))
    server.handle_error = lambda request, address: None  # type: ignore[method-assign]  it would print a traceback
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
