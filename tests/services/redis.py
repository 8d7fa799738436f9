"""A private Redis on a unix socket, run as an unprivileged user, keeping nothing."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.services.unprivileged import as_nobody, owner


@contextmanager
def redis_server() -> Iterator[str]:
    """The server's URL for the time of the block."""
    binary = shutil.which("redis-server") or shutil.which("valkey-server")
    assert binary, "redis-server is missing: install the package redis-server"
    folder = Path(tempfile.mkdtemp(prefix="rl", dir="/tmp"))  # a socket path must be short
    folder.chmod(0o700)
    if owner() is not None:
        shutil.chown(folder, "nobody", "nogroup")
    address = folder / "r.sock"
    quiet = ["--save", "", "--appendonly", "no", "--dir", str(folder), "--daemonize", "no"]
    process = subprocess.Popen(
        as_nobody([binary, "--port", "0", "--unixsocket", str(address), "--unixsocketperm", "777", *quiet]),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if "ready to accept connections at" in line.lower():
                break
        assert process.poll() is None, "redis-server did not start"
        yield f"unix://{address}"
    finally:
        process.kill()
        process.communicate()
        shutil.rmtree(folder)
