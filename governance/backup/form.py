"""What kind of file a backup is, by its first bytes."""

import hashlib
from enum import Enum
from pathlib import Path

from governance.errors import Rejected


class Form(Enum):
    """The first bytes of each form."""

    SQLITE = b"SQLite format 3\0"
    POSTGRESQL = b"PGDMP"
    SEALED = b"VAPIBKUP"


def form_of(file: Path) -> Form:
    """Raises Rejected for what is no backup."""
    try:
        with file.open("rb") as stream:
            start = stream.read(16)
    except OSError as error:
        raise Rejected(f"{file} can't be read: {error.strerror}.", field="backup") from None
    for form in Form:
        if start.startswith(form.value):
            return form
    raise Rejected(f"{file} is no backup: neither SQLite, nor a PostgreSQL dump (-Fc), nor sealed.", field="backup")


def sha256_of(file: Path) -> str:
    """Hex digest of a file's bytes."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
