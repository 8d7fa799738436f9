"""Bodies and bytes that no server should be sent: invalid JSON and UTF-8, multipart, too large, broken framing."""

import gzip
import json
from collections.abc import Callable
from functools import partial

from router.probe.canaries import Marks
from router.probe.case import Cases, Headers, Lane, Request
from router.probe.cases import bodies

_LARGE_BYTES = 20 * 1024 * 1024
_TOO_LARGE_BYTES = 33 * 1024 * 1024
_BOUNDARY = "probe-boundary"


def add(cases: Cases, lane: Lane) -> None:
    for name, change in _BODIES.items():
        cases.add(f"{lane.wire}/{name}", partial(_broken, lane, change), lane=lane)
    for name, raw in _RAW.items():
        cases.add(f"{lane.wire}/{name}", partial(_raw, raw), lane=lane)
    for name, size in (("a body of 20 MB", _LARGE_BYTES), ("a body over the limit", _TOO_LARGE_BYTES)):
        cases.add(f"{lane.wire}/{name}", partial(_large, lane, size, False), lane=lane)
        cases.add(f"{lane.wire}/{name}, chunked", partial(_large, lane, size, True), lane=lane)
    cases.add(f"{lane.wire}/a length that is too large", partial(_declared, lane), lane=lane)
    cases.add(f"{lane.wire}/multipart", partial(_multipart, lane), lane=lane)
    cases.add(f"{lane.wire}/gzip", partial(_encoded, lane), lane=lane)
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/octet-stream"):
        cases.add(f"{lane.wire}/sent as {kind}", partial(_typed, lane, kind), lane=lane)


def _text(lane: Lane, marks: Marks) -> bytes:
    return json.dumps(bodies.body(lane, marks)).encode()


def _broken(lane: Lane, change: Callable[[bytes, str], bytes], marks: Marks) -> Request:
    return bodies.request(lane, change(_text(lane, marks), marks.prompt("broken")))


def _with_words(text: bytes, words: bytes) -> bytes:
    return text[:-1] + b', "x_more": "' + words + b'"}'


_BODIES: dict[str, Callable[[bytes, str], bytes]] = {
    "invalid JSON": lambda text, w: text[:-1] + f", {w}}}".encode(),
    "JSON that ends early": lambda text, w: _with_words(text, w.encode())[:-2],
    "two JSON texts": lambda text, w: text + b"\n" + _with_words(text, w.encode()),
    "no JSON at all": lambda text, w: w.encode(),
    "a JSON list": lambda text, w: b"[" + text + f', "{w}"]'.encode(),
    "a JSON string": lambda text, w: json.dumps(w).encode(),
    "invalid UTF-8": lambda text, w: _with_words(text, b"\xff\xfe\xc3" + w.encode() + b"\xed\xa0\x80"),
    "UTF-16": lambda text, w: _with_words(text, w.encode()).decode().encode("utf-16"),
    "a byte order mark": lambda text, w: b"\xef\xbb\xbf" + _with_words(text, w.encode()),
    "lone surrogates": lambda text, w: _with_words(text, b"\\ud800" + w.encode() + b"\\udfff"),
    "a NUL character": lambda text, w: _with_words(text, b"\\u0000" + w.encode()),
    "a raw control character": lambda text, w: _with_words(text, b"\x00\x1b" + w.encode()),
    "duplicate keys": lambda text, w: b'{"model": "' + w.encode() + b'", ' + text[1:],
    "duplicate keys, the second escaped": lambda text, w: text[:-1] + b', "\\u006dodel": "' + w.encode() + b'"}',
    "a key in another case": lambda text, w: text[:-1] + b', "MODEL": "' + w.encode() + b'"}',
    "nested too deeply": lambda text, w: text[:-1] + b', "x": ' + b"[" * 2000 + f'"{w}"'.encode() + b"]" * 2000 + b"}",
    "a number without end": lambda text, w: text[:-1] + b', "x": ' + b"9" * 5000 + b', "y": "' + w.encode() + b'"}',
    "not a number": lambda text, w: text[:-1] + f', "temperature": NaN, "y": "{w}"}}'.encode(),
}


def _large(lane: Lane, size: int, chunked: bool, marks: Marks) -> Request:
    text = _text(lane, marks)
    filling = size - len(text) - 200
    words = marks.prompt("beginning") + " " + "lorem " * (filling // 6) + marks.prompt("end")
    return bodies.request(lane, _with_words(text, words.encode()), chunked=chunked)


def _declared(lane: Lane, marks: Marks) -> Request:
    return bodies.request(lane, _text(lane, marks), declared=1 << 40)


def _multipart(lane: Lane, marks: Marks) -> Request:
    parts = (
        f'form-data; name="{marks.prompt("name of a part")}"\r\n\r\n{marks.prompt("part")}',
        f'form-data; name="file"; filename="{marks.prompt("file name")}.txt"\r\n'
        f"Content-Type: text/plain\r\n\r\n{marks.prompt('file')}" + " filling" * 200_000,
    )
    body = "".join(f"--{_BOUNDARY}\r\nContent-Disposition: {part}\r\n" for part in parts) + f"--{_BOUNDARY}--\r\n"
    kind = f"multipart/form-data; boundary={_BOUNDARY}".encode()
    return Request(target=bodies.target(lane).encode(), headers=((b"content-type", kind),), body=body.encode())


def _encoded(lane: Lane, marks: Marks) -> Request:
    return bodies.request(lane, gzip.compress(_text(lane, marks)), headers=((b"content-encoding", b"gzip"),))


def _typed(lane: Lane, kind: str, marks: Marks) -> Request:
    headers: Headers = ((b"content-type", kind.encode()),)
    return Request(target=bodies.target(lane).encode(), headers=headers, body=_text(lane, marks))


def _raw(make: Callable[[Marks], bytes], marks: Marks) -> Request:
    return Request(raw=make(marks))


_HEAD = "POST /v1/chat/completions HTTP/1.1\r\nHost: gateway\r\n"
_RAW: dict[str, Callable[[Marks], bytes]] = {
    "no HTTP": lambda m: f"{m.prompt('line')} {m.prompt('line 2')}\r\n\r\n".encode(),
    "an unknown version": lambda m: f"POST /{m.prompt('path')} HTTP/9.{m.prompt('version')}\r\n\r\n".encode(),
    "a header without colon": lambda m: f"{_HEAD}{m.metadata('header')}\r\n\r\n".encode(),
    "a header with a control character": lambda m: f"{_HEAD}X-Note: a\x00{m.metadata('header')}\r\n\r\n".encode(),
    "a broken chunk size": lambda m: (
        f"{_HEAD}Transfer-Encoding: chunked\r\n\r\n{m.prompt('size')}\r\n{m.prompt('data')}\r\n0\r\n\r\n".encode()
    ),
    "a chunk extension": lambda m: (
        f"{_HEAD}Transfer-Encoding: chunked\r\n\r\n4;{m.prompt('extension')}={m.prompt('value')}\r\n{{}}  \r\n0\r\n"
        f"X-Trailer: {m.prompt('trailer')}\r\n\r\n".encode()
    ),
    "two lengths": lambda m: f"{_HEAD}Content-Length: 4\r\nContent-Length: 59\r\n\r\n{m.prompt('body')}".encode(),
    "length and chunks": lambda m: (
        f"{_HEAD}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{m.prompt('body')}".encode()
    ),
    "a head that is too long": lambda m: f"{_HEAD}X-Note: {m.metadata('header') * 2000}\r\n\r\n".encode(),
    "a target that is too long": lambda m: f"GET /{m.metadata('target') * 500} HTTP/1.1\r\nHost: a\r\n\r\n".encode(),
    "too many headers": lambda m: (
        _HEAD + "".join(f"X-{n}: {m.metadata('header')}\r\n" for n in range(300)) + "\r\n"
    ).encode(),
    "an upgrade": lambda m: (
        f"GET /{m.metadata('target')} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {m.metadata('key')}\r\n\r\n".encode()
    ),
    "HTTP/2 without asking": lambda m: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + m.prompt("frame").encode(),
}
