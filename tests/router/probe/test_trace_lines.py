"""strace's lines, as recorded from strace 6.1 with `-f -yy`."""

import pytest

from router.probe.trace_lines import Written, ends, kind, read, unescaped

SOCKET = "TCP:[127.0.0.1:8000->127.0.0.1:51234]"


@pytest.mark.parametrize(
    "line, expected",
    [
        (rb'4711  write(3</home/x/log/events.jsonl>, "{\"a\": \"b\"}\n", 11) = 11',
         Written("/home/x/log/events.jsonl", b'{"a": "b"}\n', False)),
        (rb'write(1<pipe:[123]>, "\0\1\0012\377\x7f", 6) = 6', Written("pipe:[123]", b"\0\1\x012\xff\x7f", False)),
        (rb'4711  sendto(12<TCP:[127.0.0.1:8000->127.0.0.1:51234]>, "HTTP/1.1 200 OK\r\n", 17, MSG_NOSIGNAL, NULL, 0) = 17',
         Written(SOCKET, b"HTTP/1.1 200 OK\r\n", False)),
        (rb'4711  writev(12<TCP:[127.0.0.1:8000->127.0.0.1:51234]>, [{iov_base="ab", iov_len=2}, '
         rb'{iov_base="c\"d", iov_len=3}], 2) = 5', Written(SOCKET, b'abc"d', False)),
        (rb'[pid  4711] pwrite64(5</home/x/data/a.db-wal>, "page"..., 4096, 32) = 4096',
         Written("/home/x/data/a.db-wal", b"page", True)),
        (rb'4711  sendmsg(7<UNIX-STREAM:[11->12]>, {msg_name=NULL, msg_namelen=0, msg_iov=[{iov_base="Q", iov_len=1}], '
         rb'msg_iovlen=1, msg_controllen=0, msg_flags=0}, MSG_NOSIGNAL) = 1', Written("UNIX-STREAM:[11->12]", b"Q", False)),
        (rb'4711  write(9</tmp/spool>(deleted), "gone", 4) = 4', Written("/tmp/spool", b"gone", False)),
        (rb'4711  write(9</tmp/a -> b, c>, "odd", 3 <unfinished ...>', Written("/tmp/a -> b, c", b"odd", False)),
        (rb'4711  sendfile(5</tmp/copy>, 4</tmp/spool>, [0] => [9], 9) = 9', Written("/tmp/copy", b"", True)),
        (rb'4711  splice(6<pipe:[7]>, NULL, 5</tmp/copy>, [12], 9, 0) = 9', Written("/tmp/copy", b"", True)),
        (rb'4711  copy_file_range(4</tmp/spool>, [0], 5</tmp/copy>(deleted), NULL, 9, 0) = 9', Written("/tmp/copy", b"", True)),
        (rb"4711  <... write resumed>)              = 3", None),
        (rb'4711  read(3</home/x>, "in", 2) = 2', None),
        (rb"4711  +++ exited with 0 +++", None),
    ],
)  # fmt: skip
def test_a_line_is_a_write_or_nothing(line: bytes, expected: Written | None) -> None:
    assert read(line) == expected


def test_every_byte_comes_back_from_its_escape() -> None:
    escapes = {7: rb"\7", 9: rb"\t", 10: rb"\n", 11: rb"\v", 12: rb"\f", 13: rb"\r", 34: rb"\"", 92: rb"\\"}
    for byte in range(256):
        shown = escapes.get(byte) or (bytes([byte]) if 32 <= byte < 127 else b"\\%o" % byte)
        assert unescaped(b"a" + shown + b"z") == b"a" + bytes([byte]) + b"z"


@pytest.mark.parametrize(
    "target, expected",
    [
        (SOCKET, "socket"), ("UNIX-STREAM:[1]", "socket"), ("pipe:[5]", "pipe"), ("/var/log/x", "file"),
        ("/dev/null", "device"), ("/dev/shm/x", "file"), ("anon_inode:[eventfd]", "kernel object"),
        ("/memfd:spool", "kernel object"),
    ],
)  # fmt: skip
def test_kinds(target: str, expected: str) -> None:
    assert kind(target) == expected


def test_ends() -> None:
    own, peer = ("127.0.0.1", 8000), ("127.0.0.1", 51234)
    assert ends(SOCKET) == (own, peer)
    assert ends("TCPv6:[[::1]:8000->[::1]:51234]") == (("::1", 8000), ("::1", 51234))
    assert ends("TCPv6:[[::ffff:127.0.0.1]:8000->[::ffff:127.0.0.1]:51234]") == (own, peer)
    assert ends("TCP:[127.0.0.1:8000]") == (own, None)
    assert ends("/var/log/x") == ends("TCP:[0]") == (None, None)
