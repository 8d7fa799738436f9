"""Reads `recipients.yaml` of a policy version: who may be given personal data, as its text names them."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from governance.errors import ConfigurationError
from policies.files import Files, parsed, text
from policies.retention import IN_FORCE
from policies.sentences import sections
from policies.version import TEXT


class HostsFrom(StrEnum):
    """Where a recipient's hosts are said, if not here."""

    PROVIDERS = "providers"  # the catalog of upstream providers
    OPERATOR = "operator"  # whoever runs the service declares them


@dataclass(frozen=True, slots=True)
class PromisedRecipient:
    """`named`: the text names it, and not only its kind. `sentence`: the id of the sentence that does."""

    id: str
    name: str
    role: str
    named: bool
    sentence: str
    receives: tuple[str, ...]
    hosts: frozenset[str]
    hosts_from: HostsFrom | None


@dataclass(frozen=True, slots=True)
class Recipients:
    """`countries`, `mechanism`: what the text says of transfers (GDPR Art. 13(1)(f)), in its own terms."""

    recipients: tuple[PromisedRecipient, ...]
    countries: str
    mechanism: str

    def host_of(self, host: str) -> PromisedRecipient | None:
        """Whose host it is, among the hosts that stand in the file itself; None where it is nobody's."""
        name = host.lower().rstrip(".")
        return next((each for each in self.recipients if name in each.hosts), None)


_Text = Annotated[str, StringConstraints(min_length=1)]
_Host = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+$")]


class _Recipient(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    id: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$")]
    name: _Text
    role: _Text
    named: bool
    sentence: str
    receives: Annotated[list[_Text], Field(min_length=1)]
    hosts: list[_Host] = []
    hosts_from: HostsFrom | None = None

    @field_validator("hosts_from", mode="before")
    @classmethod
    def _known(cls, value: object) -> HostsFrom:
        return HostsFrom(str(value))

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if bool(self.hosts) == (self.hosts_from is not None):
            raise ValueError("a recipient's hosts stand here or elsewhere, and in one place")
        return self


class _Transfers(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    countries: _Text
    countries_sentence: str
    mechanism: _Text
    mechanism_sentence: str


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    recipients: list[_Recipient]
    transfers: _Transfers


def load(files: Files = IN_FORCE) -> Recipients:
    """The recipients of a version, checked against its `policy.md`. Raises ConfigurationError naming the place."""
    file = parsed(files, "recipients.yaml", _File)
    by_id = {sentence.id: sentence.text for section in sections(text(files, TEXT)) for sentence in section.sentences}
    seen: set[str] = set()
    for each in file.recipients:
        said = by_id.get(each.sentence)
        if said is None or (each.named and each.name not in said):
            raise ConfigurationError(f"recipients.yaml: {each.id} isn't named by sentence {each.sentence} of the text.")
        if each.id in seen or any(host in seen for host in each.hosts):
            raise ConfigurationError(f"recipients.yaml: {each.id} or one of its hosts stands twice.")
        seen.update((each.id, *each.hosts))
    transfers = file.transfers
    for sentence in (transfers.countries_sentence, transfers.mechanism_sentence):
        if sentence not in by_id:
            raise ConfigurationError(f"recipients.yaml: transfers: there is no sentence {sentence} in the text.")
    found = (
        PromisedRecipient(
            each.id,
            each.name,
            each.role,
            each.named,
            each.sentence,
            tuple(each.receives),
            frozenset(each.hosts),
            each.hosts_from,
        )
        for each in file.recipients
    )
    return Recipients(tuple(found), transfers.countries, transfers.mechanism)
