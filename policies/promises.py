"""Reads `promises.yaml` of a policy version: every sentence of its text, as a promise with what shows it, or a notice.

The text is quoted whole and in order: a sentence left out, misquoted or added stops whoever loads it. A promise names its
controls (what code enforces or verifies) and, where it is attested, the documents that show what code can't see. It is kept
while each control's latest run passed and is not older than `evidence_max_age`, and each document stands. Frozen with the
version; a later binding is a change in a live register.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, StringConstraints, field_validator, model_validator

from governance.errors import ConfigurationError
from governance.evidence import fields
from governance.period import Period
from policies.files import Files, parsed, text
from policies.retention import IN_FORCE
from policies.sentences import Section, sections
from policies.version import TEXT, Version


class PromiseKind(StrEnum):
    """How a promise is shown."""

    ENFORCED = "enforced"  # code makes anything else impossible, and a control sees that it does
    VERIFIED = "verified"  # a control looks at what happened
    ATTESTED = "attested"  # at least one part is beyond code: a signed document with an expiry, never automatic


@dataclass(frozen=True, slots=True)
class Promise:
    """`controls`: ids, each of which must have passed. `attestations`: ids of documents that must stand, and aren't
    automatic; where they stand alone `evidence_max_age` is theirs, whatever expiry they name. `narrowed_by`: the sentence
    that says less, and wins where this one collides with it."""

    kind: PromiseKind
    controls: tuple[str, ...]
    attestations: tuple[str, ...]
    evidence_max_age: Period
    narrowed_by: str | None


@dataclass(frozen=True, slots=True)
class Statement:
    """One sentence: a promise, or a notice and why it is none."""

    id: str
    text: str
    promise: Promise | None
    notice: str | None


@dataclass(frozen=True, slots=True)
class Register:
    """Every sentence of a version, in order. `version`: series and version, as `privacy/2026-03`."""

    version: str
    statements: tuple[Statement, ...]

    @property
    def promises(self) -> Iterator[tuple[Statement, Promise]]:
        return ((each, each.promise) for each in self.statements if each.promise is not None)

    @property
    def controls(self) -> frozenset[str]:
        """Ids of all that are named."""
        return frozenset(control for _, promise in self.promises for control in promise.controls)

    @property
    def attestations(self) -> frozenset[str]:
        """Names of all documents that are asked for."""
        return frozenset(name for _, promise in self.promises for name in promise.attestations)


_Id = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$")]
_Why = Annotated[str, StringConstraints(min_length=1)]


class _Promise(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    kind: PromiseKind
    controls: list[_Id] = []
    attestations: list[_Id] = []
    evidence_max_age: str
    narrowed_by: str | None = None

    @field_validator("kind", mode="before")
    @classmethod
    def _known(cls, value: object) -> PromiseKind:
        return PromiseKind(str(value))

    @field_validator("evidence_max_age")
    @classmethod
    def _iso_8601(cls, value: str) -> str:
        Period.parse(value)
        return value

    @model_validator(mode="after")
    def _shown(self) -> Self:
        if (self.kind is PromiseKind.ATTESTED) != bool(self.attestations):
            raise ValueError("attestations stand with what is attested, and with nothing else")
        if not self.controls and not self.attestations:
            raise ValueError("a promise names what shows it")
        return self


class _Statement(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    id: str
    text: str
    promise: _Promise | None = None
    notice: _Why | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.promise is None) == (self.notice is None):
            raise ValueError("a sentence is a promise or a notice")
        return self


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    section: str
    title: str
    sentences: list[_Statement]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    sections: list[_Section]


def load(folder: Path = IN_FORCE) -> Register:
    """The register of a version's folder. Raises ConfigurationError as `of` does."""
    return _register(folder, f"{folder.parent.name}/{folder.name}")


def of(version: Version) -> Register:
    """The register of a version, checked against its text.

    Raises ConfigurationError that names the file, and the place or the sentence.
    """
    return _register(version.files, version.name)


def unshown(register: Register, passing: Collection[str]) -> list[str]:
    """A sentence for each promise that a control doesn't show now; `passing`: ids of those that do."""
    return [
        f"{statement.id}: {', '.join(lacking)} {'shows' if len(lacking) == 1 else 'show'} nothing now: “{statement.text}”"
        for statement, promise in register.promises
        if (lacking := [each for each in promise.controls if each not in passing])
    ]


def _register(files: Files, version: str) -> Register:
    file = parsed(files, "promises.yaml", _File)
    _check_quoted(sections(text(files, TEXT)), file.sections)
    statements = tuple(_statement(each) for section in file.sections for each in section.sentences)
    _check_narrowed(statements)
    register = Register(version, statements)
    fields.declare_names("policy", (register.version,))
    fields.declare_names("statement", [each.id for each in statements])
    fields.declare_names("document", register.attestations)
    return register


def _check_quoted(said: tuple[Section, ...], quoted: list[_Section]) -> None:
    """Every sentence once, in order, word for word, under its section's title."""
    for section, quoted_section in zip_longest(said, quoted):
        if section is None:
            raise ConfigurationError(f"promises.yaml: section {quoted_section.section} isn't in the policy's text.")
        if quoted_section is None or quoted_section.section != section.number:
            raise ConfigurationError(
                f"promises.yaml: section {section.number} of the policy's text isn't covered here."
            )
        if quoted_section.title != section.title:
            raise ConfigurationError(f"promises.yaml: the title of section {section.number} is misquoted.")
        for sentence, statement in zip_longest(section.sentences, quoted_section.sentences):
            if sentence is None:
                raise ConfigurationError(f"promises.yaml: {statement.id} isn't in the policy's text.")
            if statement is None or statement.id != sentence.id:
                raise ConfigurationError(
                    f"promises.yaml: sentence {sentence.id} of the policy's text isn't covered here."
                )
            if statement.text != sentence.text:
                raise ConfigurationError(f"promises.yaml: {sentence.id} is misquoted.")


def _check_narrowed(statements: tuple[Statement, ...]) -> None:
    promised = {each.id for each in statements if each.promise is not None}
    for each in statements:
        if each.promise is not None and each.promise.narrowed_by not in (None, *(promised - {each.id})):
            raise ConfigurationError(f"promises.yaml: {each.id} is narrowed by no promise of this text.")


def _statement(one: _Statement) -> Statement:
    return Statement(one.id, one.text, _promise(one.promise) if one.promise else None, one.notice)


def _promise(one: _Promise) -> Promise:
    age = Period.parse(one.evidence_max_age)
    return Promise(one.kind, tuple(one.controls), tuple(one.attestations), age, one.narrowed_by)
