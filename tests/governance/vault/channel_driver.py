"""Starts processes on a key channel, and judges what they saw."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

Seen = dict[int, int]
Announced = list[tuple[int, int]]


class Process:
    """One `channel_process`. `kill` is safe at any time, and what a test's end calls."""

    def __init__(self, role: str, url: str, folder: Path, *rest: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.governance.vault.channel_process", role, url, str(folder), *rest],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def is_up(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "up\n"

    def is_stopped(self) -> None:
        """Wait until SIGSTOP has arrived in every thread."""
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOWAIT)

    def seen(self) -> Seen:
        """End a holder; the last time that each generation was seen."""
        return {int(generation): at for generation, at in json.loads(self._end()).items()}

    def announced(self) -> Announced:
        """Wait for an announcer; what it was given, and when."""
        return [(generation, at) for generation, at in json.loads(self._end())]

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _end(self) -> str:
        said, _ = self._process.communicate(timeout=60)
        assert self._process.returncode == 0
        return said


def assert_nothing_older(seen: Seen, announced: Sequence[tuple[int, int]]) -> None:
    """After an announcement had returned, no look saw an older generation."""
    for generation, returned_at in announced:
        late = [old for old, looked_at in seen.items() if old < generation and looked_at > returned_at]
        assert late == [], f"{late} seen after {generation} had been announced"


def stamped(generation: int) -> tuple[int, int]:
    """An announcement that has just returned in this process."""
    return generation, time.monotonic_ns()
