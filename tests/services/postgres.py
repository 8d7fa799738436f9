"""A private PostgreSQL from Debian's binaries, run as an unprivileged user in a short folder of its own."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.services.unprivileged import as_nobody, owner


def _binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if not found:
        raise RuntimeError("PostgreSQL is not installed: `make test` installs it; these tests never skip")
    return found[-1].parent


class Postgres:
    """One server on a unix socket. `url(database)` is what SQLAlchemy takes; `folder` is the data directory."""

    def __init__(self) -> None:
        self._bin = _binaries()
        self.root = Path(tempfile.mkdtemp(prefix="vapg", dir="/tmp"))  # a socket path must be short
        self.folder = self.root / "d"
        user = owner()
        if user is not None:
            os.chown(self.root, user.pw_uid, user.pw_gid)
        self._run("initdb", "-D", str(self.folder), "-U", "app", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        self._count = 0
        self.start()

    def start(self) -> None:
        """Start, again after a `kill`."""
        options = f"-c listen_addresses='' -c unix_socket_directories={self.root} -c fsync=off -c max_connections=200"
        self._run("pg_ctl", "-D", str(self.folder), "-l", str(self.root / "log"), "-w", "-o", options, "start")

    def kill(self) -> None:
        """End as in a crash: connections are cut, the folder stays for the next `start`."""
        self._run("pg_ctl", "-D", str(self.folder), "-m", "immediate", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        command = as_nobody([str(self._bin / program), *arguments])
        done = subprocess.run(command, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr.decode()[-300:]}")

    def create_database(self, like: str | None = None) -> str:
        """A fresh database, empty or `like` the one of that URL; its async URL."""
        self._count += 1
        name = f"t{self._count}"
        template = ["-T", like.split("@/")[1].split("?")[0]] if like is not None else []
        self._run("createdb", "-h", str(self.root), "-U", "app", *template, name)
        return f"postgresql+asyncpg://app@/{name}?host={self.root}"

    def drop_database(self, url: str) -> None:
        """Whoever is connected is cut off: hundreds of left databases would make the server slow, and every search of it."""
        name = url.split("@/")[1].split("?")[0]
        self._run("dropdb", "-h", str(self.root), "-U", "app", "--force", name)

    def checkpoint(self, url: str) -> None:
        """Push everything to the files, so that a byte search sees it."""
        name = url.split("@/")[1].split("?")[0]
        self._run("psql", "-h", str(self.root), "-U", "app", "-d", name, "-c", "CHECKPOINT")

    def stop(self) -> None:
        self.kill()
        shutil.rmtree(self.root, ignore_errors=True)
