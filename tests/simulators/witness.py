"""A witness (c2sp.org/tlog-witness) on loopback, which checks what it is sent as the specification says, by its own code."""

import base64
import hashlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def consistent(m: int, n: int, old: bytes, new: bytes, proof: list[bytes]) -> bool:
    """RFC 6962 section 2.1.2, by its recursive definition read backwards."""
    rest = list(proof)

    def sub(m: int, n: int, whole: bool) -> tuple[bytes, bytes]:
        if m == n:
            if whole:
                return old, old
            hashed = rest.pop()
            return hashed, hashed
        k = 1
        while k * 2 < n:
            k *= 2
        right = None
        if m <= k:
            right = rest.pop()
            was, now = sub(m, k, whole)
            return was, _node(now, right)
        left = rest.pop()
        was, now = sub(m - k, n - k, False)
        return _node(left, was), _node(left, now)

    try:
        made = sub(m, n, True)
    except IndexError:
        return False
    return made == (old, new) and not rest


class Witness:
    """`size` and `root` are what it has cosigned last; `asked` counts requests."""

    def __init__(self, origin: str, log_key: bytes, log_key_id: bytes) -> None:
        self.name = "witness.example/w1"
        self.secret = Ed25519PrivateKey.generate()
        self.public = self.secret.public_key().public_bytes_raw()
        self.origin, self._log_key, self._log_key_id = origin, log_key, log_key_id
        self.size, self.root, self.asked = 0, b"", 0
        self.answer_with: tuple[int, bytes] | None = None

    def __enter__(self) -> "Witness":
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status, text = outer.answer_with or outer.add_checkpoint(self.path, body)
                self.send_response(status)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/prefix/"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add_checkpoint(self, path: str, body: bytes) -> tuple[int, bytes]:
        self.asked += 1
        if path != "/prefix/add-checkpoint":
            return 404, b""
        head, _, signed = body.decode().partition("\n\n")
        old_line, *proof = head.split("\n")
        old = int(old_line.removeprefix("old "))
        text, _, lines = signed.partition("\n\n")
        text += "\n"
        origin, size_text, root_text = text.split("\n")[:3]
        size, root = int(size_text), base64.b64decode(root_text)
        if origin != self.origin:
            return 404, b""
        if not self._signed(text, lines):
            return 403, b""
        if old > size:
            return 400, b""
        if old != self.size or (old == size and root != self.root):
            return 409, b"%d\n" % self.size
        hashes = [base64.b64decode(each) for each in proof]
        if not (consistent(old, size, self.root, root, hashes) if old else not hashes):
            return 422, b""
        self.size, self.root = size, root
        stamp = int(time.time())
        signature = self.secret.sign(b"cosignature/v1\ntime %d\n" % stamp + text.encode())
        key_id = hashlib.sha256(self.name.encode() + b"\n\x04" + self.public).digest()[:4]
        raw = base64.b64encode(key_id + stamp.to_bytes(8, "big") + signature).decode()
        return 200, f"\N{EM DASH} {self.name} {raw}\n".encode()

    def _signed(self, text: str, lines: str) -> bool:
        for line in lines.split("\n")[:-1]:
            raw = base64.b64decode(line.split(" ")[2])
            if raw[:4] == self._log_key_id:
                try:
                    Ed25519PublicKey.from_public_bytes(self._log_key).verify(raw[4:], text.encode())
                except InvalidSignature:
                    return False
                return True
        return False
