"""What is probed: how to ask it, and where its bytes may come to rest."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from router.probe.case import Credential, Headers, Lane


@dataclass(frozen=True, slots=True)
class Target:
    """A gateway whose upstream is the probe. `url` may end in a path; `lanes` are what is asked of it.

    `look` are files and folders, `pids` its processes (their children belong to them), `postgres` and `redis` URLs of
    stores that it writes. `since` bounds the search of shared places, seconds since the epoch; None leaves them out.
    `own` says that it is ours: a file of it that can't be opened makes the run void. `changed_since` leaves out of `look`
    what didn't change from then on, seconds since the epoch. `tls` is what its socket is asked with.
    """

    url: str
    lanes: tuple[Lane, ...]
    keys: Mapping[Credential, str] = field(repr=False)
    headers: Headers = field(default=(), repr=False)
    pids: tuple[int, ...] = ()
    look: tuple[Path, ...] = ()
    postgres: tuple[str, ...] = field(default=(), repr=False)
    redis: tuple[str, ...] = field(default=(), repr=False)
    since: float | None = None
    own: bool = False
    patience_s: float = 30.0
    changed_since: float | None = None
    tls: ssl.SSLContext | None = None
