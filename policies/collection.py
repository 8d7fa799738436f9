"""Reads `collection.yaml` of a policy version: which categories of personal data its text says are collected."""

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, StringConstraints, model_validator

from governance.errors import ConfigurationError
from policies.files import Files, parsed, text
from policies.retention import IN_FORCE
from policies.sentences import sections
from policies.version import TEXT

_Text = Annotated[str, StringConstraints(min_length=1)]


class _Category(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    category: Annotated[str, StringConstraints(pattern=r"^user(\.[a-z_]+)*$")]
    sentence: str | None = None
    words: _Text | None = None
    why: _Text | None = None

    @model_validator(mode="after")
    def _stated(self) -> Self:
        if (self.sentence is None) != (self.words is None) or (self.words is None) == (self.why is None):
            raise ValueError("a category has words of a sentence, or a reason why it needs none")
        return self


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    categories: list[_Category]


def load(files: Files = IN_FORCE) -> Mapping[str, str | None]:
    """Each category with the id of the sentence that states it; None where none has to.

    Raises ConfigurationError where words aren't in the sentence, or a category stands twice.
    """
    said = {sentence.id: sentence.text for section in sections(text(files, TEXT)) for sentence in section.sentences}
    found: dict[str, str | None] = {}
    for each in parsed(files, "collection.yaml", _File).categories:
        if each.category in found:
            raise ConfigurationError(f"collection.yaml: {each.category} stands twice.")
        if each.sentence is not None and (each.words or "") not in said.get(each.sentence, ""):
            raise ConfigurationError(f"collection.yaml: the words for {each.category} aren't in {each.sentence}.")
        found[each.category] = each.sentence
    return found
