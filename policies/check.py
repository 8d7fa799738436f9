"""What keeps a version from being published, and what legal should know of its text: `valueapi policy check`.

What blocks: the folder isn't whole, a sentence is covered by no promise or notice or is misquoted, retention and columns
don't match both ways, a recipient isn't named where the file says so, what is collected isn't stated. Findings about the
text itself block nothing.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from governance.datamap import DeclaredColumn
from governance.errors import ConfigurationError
from policies import collection, findings, promises, recipients, retention
from policies.findings import Finding
from policies.version import Version


@dataclass(frozen=True, slots=True)
class Checked:
    """`blocks`: a sentence for each thing that is in the way; `findings`: what legal should know of the text;
    `without_control`: controls that promises name and that there aren't yet, so that those promises can't be kept."""

    blocks: tuple[str, ...]
    findings: tuple[Finding, ...]
    without_control: tuple[str, ...]


def check(version: Version, columns: Iterable[DeclaredColumn], controls: Iterable[str]) -> Checked:
    """`columns`: every declared one; `controls`: ids of those that there are."""
    blocks: list[str] = []
    named: set[str] = set()
    if version.series == "privacy":
        for part in (
            lambda: named.update(promises.of(version).controls),
            lambda: retention.load(version.files).check(columns),
            lambda: recipients.load(version.files),
            lambda: collection.load(version.files),
        ):
            blocks += _told(part)
    else:
        blocks += _told(lambda: version.sections)
    return Checked(
        tuple(blocks), tuple(findings.read(version)) if not blocks else (), tuple(sorted(named - set(controls)))
    )


def _told(part: Callable[[], object]) -> list[str]:
    try:
        part()
    except ConfigurationError as error:
        return [str(error)]
    return []
