"""A version of a document: a folder whose files are frozen under one digest, as it ships, is reviewed and is exchanged.

`policy.md` begins with front matter (version, title, effective date, material or not, languages, summary of the changes).
Beside a privacy policy lie `promises.yaml`, `retention.yaml`, `recipients.yaml` and `collection.yaml`. The digest is
SHA-256 over a line `<SHA-256 in hex>  <name>` for each file, in order of names: `sha256sum * | sha256sum` gives it too.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Final

import yaml
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from governance.errors import ConfigurationError
from policies.sentences import FRONT_MATTER, Section, sections

TEXT: Final = "policy.md"
SERIES: Final[Mapping[str, str]] = {
    "privacy": "Privacy policy",
    "terms": "Terms of service",
    "acceptable-use": "Acceptable use policy",
    "cookies": "Cookie and analytics notice",
}
BESIDE: Final[Mapping[str, tuple[str, ...]]] = {
    "privacy": ("collection.yaml", "promises.yaml", "recipients.yaml", "retention.yaml")
}
"""What lies beside the text of a series; nothing, of the others."""
NAME: Final = re.compile(r"\d{4}-\d{2}(?:-\d{2})?(?:\.\d{1,3})?")
_FILE_BYTES_MAX: Final = 1024 * 1024


class _Front(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    version: str
    title: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    effective: date
    material: bool
    languages: list[Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Z]{2})?$")]]
    summary: Annotated[str, StringConstraints(min_length=1, max_length=2000)]


@dataclass(frozen=True, slots=True)
class Version:
    """`files`: name and bytes, in order of names. `effective`: from when it is in force."""

    series: str
    version: str
    title: str
    effective: date
    material: bool
    languages: tuple[str, ...]
    summary: str
    files: Mapping[str, bytes]

    @property
    def name(self) -> str:
        """As `privacy/2026-03`."""
        return f"{self.series}/{self.version}"

    @property
    def digest(self) -> str:
        """In hex."""
        lines = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in self.files.items())
        return hashlib.sha256(lines.encode()).hexdigest()

    @property
    def sections(self) -> tuple[Section, ...]:
        """The text. Raises ConfigurationError where two sections have one number."""
        return sections(self.files[TEXT].decode())


def read(folder: Path) -> Version:
    """A version's folder, `…/<series>/<version>`. Raises ConfigurationError that says what isn't as it must be."""
    series = folder.absolute().parent.name
    if series not in SERIES:
        raise ConfigurationError(f"The folder of a version lies in one of its series: {', '.join(SERIES)}.")
    wanted = sorted((TEXT, *BESIDE.get(series, ())))
    try:
        there = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
        if there != wanted:
            wrong = sorted(set(there) ^ set(wanted))[0]
            what = "is missing" if wrong in wanted else "doesn't belong there"
            raise ConfigurationError(f"{wrong[:60]!r} {what}: the folder holds {', '.join(wanted)}.")
        files = {name: (folder / name).read_bytes() for name in wanted}
    except OSError:
        raise ConfigurationError("The folder of the version can't be read.") from None
    return made(series, folder.absolute().name, files)


def made(series: str, version: str, files: Mapping[str, bytes]) -> Version:
    """A version of its files. Raises ConfigurationError as `read` does."""
    if not NAME.fullmatch(version):
        raise ConfigurationError("A version is named by year and month, as 2026-03; day and number may follow.")
    for name, data in files.items():
        if len(data) > _FILE_BYTES_MAX:
            raise ConfigurationError(f"{name} has more than {_FILE_BYTES_MAX} bytes.")
    front = _front(files[TEXT])
    if front.version != version:
        raise ConfigurationError(f"{TEXT}: its front matter is of another version than its folder.")
    return Version(
        series, version, front.title, front.effective, front.material, tuple(front.languages), front.summary,
        dict(sorted(files.items())),
    )  # fmt: skip


def _front(data: bytes) -> _Front:
    try:
        found = FRONT_MATTER.match(data.decode())
        return _Front.model_validate(yaml.safe_load(found["fields"]) if found else {})
    except ValidationError as error:
        fault = error.errors()[0]
        raise ConfigurationError(f"{TEXT}: front matter: {'.'.join(map(str, fault['loc']))}: {fault['msg']}.") from None
    except (UnicodeDecodeError, yaml.YAMLError):
        raise ConfigurationError(f"{TEXT}: its front matter can't be read.") from None
