"""Follows a program's write calls with strace, and says which descriptors canaries reached.

What strace shows goes through a pipe and rests nowhere. Memory-mapped files and io_uring write without a call: the
search of the files themselves covers those.
"""

import os
import shutil
import signal
import socket
import subprocess
import threading
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from governance.bodies.scanner import process
from governance.errors import ConfigurationError
from router.probe import trace_lines
from router.probe.canaries import PATTERN
from router.probe.result import Descriptor

_SHOWN_BYTES = 1024 * 1024
_KEPT_BYTES = 512 * 1024 * 1024
_END_S = 10.0
_ASIDE = "-DDD"  # strace runs in a session of its own: the program keeps its process id, and signals reach it alone


class Trace:
    """Made before the program starts (`command` goes before its own), or `attach`ed to running processes."""

    def __init__(self, *, gateway: tuple[str, int], upstream_port: int) -> None:
        """`gateway` is the host and port at which it is asked; the upstream is on 127.0.0.1. Raises ConfigurationError."""
        found = shutil.which("strace")
        if found is None:
            raise ConfigurationError("strace is missing: install the package strace, or leave --trace out.")
        self._read_end, self._write_end = os.pipe()
        self.pass_fds = (self._write_end,)
        self.command: tuple[str, ...] = (
            found, _ASIDE, "-f", "-yy", "-qq", "-s", str(_SHOWN_BYTES), "-e", "signal=none",
            "-e", f"trace={','.join(trace_lines.CALLS)}", "-o", f"/proc/self/fd/{self._write_end}",
        )  # fmt: skip
        self._gateway = _addresses(*gateway)
        self._upstream = "127.0.0.1", upstream_port
        self._lost = 0
        self._writes: Counter[str] = Counter()
        self._kept: dict[str, bytearray] = defaultdict(bytearray)
        self._kept_bytes = 0
        self.cut: set[str] = set()
        self._strace: subprocess.Popen[bytes] | None = None
        self._reader = threading.Thread(target=self._follow, daemon=True)
        self._reader.start()

    def attach(self, pids: Sequence[int]) -> None:
        """Follow running processes, what they have started and what they start.

        Raises ConfigurationError where this user may not."""
        command = [
            *(part for part in self.command if part != _ASIDE),
            *(word for pid in _families(pids) for word in ("-p", str(pid))),
        ]
        self._strace = subprocess.Popen(command, pass_fds=self.pass_fds, stderr=subprocess.PIPE)  # noqa: S603
        self.started()
        try:
            self._strace.wait(1.0)
        except subprocess.TimeoutExpired:
            return
        raise ConfigurationError(
            "strace can't follow these processes: run as root, or as their user where ptrace is allowed."
        )

    def started(self) -> None:
        """Whoever writes has the pipe's end now."""
        os.close(self._write_end)

    def check(self, pids: Sequence[int]) -> None:
        """Whether strace follows every thread of these processes and of their children still: to be asked before `end`."""
        tracers = [tracer for pid in _families(pids) for tracer in _tracers(pid)]
        self._lost += tracers.count(0) or (not tracers)

    @property
    def unfollowed(self) -> tuple[str, ...]:
        """Why it says nothing that it saw no leak."""
        why = []
        if self._lost:
            why.append(f"strace didn't follow {self._lost} of the gateway's threads to the end.")
        if not self._writes[_CALLERS]:
            why.append("strace saw no canary on its way to the caller: it didn't follow who answers, or can't read it.")
        return tuple(why)

    def end(self) -> None:
        """Stop following; a program that strace started has ended by now."""
        if self._strace is not None:
            self._strace.send_signal(signal.SIGINT)
            self._strace.wait(_END_S)
        self._reader.join(_END_S)

    def kept(self) -> list[tuple[str, bytes]]:
        """What was written to other descriptors than sockets of the caller and the upstream, to be searched."""
        return [(f"written to {target}", bytes(data)) for target, data in self._kept.items()]

    def descriptors(self) -> tuple[Descriptor, ...]:
        """Where whole canaries were written in clear; what is compressed is for a search of `kept`."""
        return tuple(
            Descriptor(self._kind(target), target, writes, self._expected(target))
            for target, writes in sorted(self._writes.items())
        )

    def _follow(self) -> None:
        with os.fdopen(self._read_end, "rb") as lines:
            for line in lines:
                self._line(line)

    def _line(self, line: bytes) -> None:
        written = trace_lines.read(line.rstrip(b"\n"))
        if written is None:
            return
        name = self._name(written.target)
        if PATTERN.search(written.data):
            self._writes[name] += 1
        if self._expected(name):
            return
        if written.cut or self._kept_bytes + len(written.data) > _KEPT_BYTES:
            self.cut.add(name)
            return
        self._kept[name] += written.data
        self._kept_bytes += len(written.data)

    def _name(self, target: str) -> str:
        """Sockets of callers and upstream are one each."""
        own, peer = trace_lines.ends(target)
        if own in self._gateway:
            return _CALLERS
        return _UPSTREAM if peer == self._upstream else target

    def _kind(self, name: str) -> str:
        return "socket" if self._expected(name) else trace_lines.kind(name)

    @staticmethod
    def _expected(name: str) -> bool:
        return name in (_CALLERS, _UPSTREAM)


_CALLERS = "callers"
_UPSTREAM = "upstream"


def _addresses(host: str, port: int) -> frozenset[trace_lines.Address]:
    """Every address that the name stands for."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        raise ConfigurationError(f"The gateway's host {host} has no address.") from None
    return frozenset((trace_lines.host(str(each[4][0])), port) for each in found)


def _families(pids: Sequence[int]) -> list[int]:
    """With all that descend from them, each once."""
    return list(dict.fromkeys(each for pid in pids for each in process.family(pid)))


def _tracers(pid: int) -> list[int]:
    """Who traces each of its threads; 0 is nobody. What has ended isn't told."""
    found = []
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        try:
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        except OSError:
            continue
        if fields["State"].strip()[0] not in "ZX":
            found.append(int(fields["TracerPid"]))
    return found
