"""Drafts of the notices of a breach, with what GDPR Art. 33(3) and 34(2) ask for. What isn't known yet says so."""

from datetime import UTC, datetime
from typing import Final

from fideslang.default_taxonomy import DEFAULT_TAXONOMY

from governance.errors import Conflict
from governance.incidents.assessment import Nature, Risk
from governance.incidents.notice import Told
from governance.incidents.record import Record
from governance.mail.render import render

UNKNOWN: Final = "[not known yet]"
TEMPLATES: Final = {
    Told.AUTHORITY: "breach-authority",
    Told.SUBJECTS: "breach",
    Told.CONTROLLER: "breach-controller",
}
_NATURE = {
    Nature.CONFIDENTIALITY: "others could see it (loss of confidentiality)",
    Nature.INTEGRITY: "it was changed (loss of integrity)",
    Nature.AVAILABILITY: "it was lost or can't be reached (loss of availability)",
}
_RISK = {
    Risk.UNLIKELY: "unlikely to result in a risk",
    Risk.LIKELY: "likely to result in a risk, not in a high one",
    Risk.HIGH: "likely to result in a high risk",
}
_NAMES = {category.fides_key: category.name or category.fides_key for category in DEFAULT_TAXONOMY.data_category}


def values(record: Record, contact: str) -> dict[str, str]:
    """What the templates take. Raises Conflict where it is no personal data breach."""
    breach = record.breach
    if breach is None:
        raise Conflict("The incident isn't assessed as a personal data breach: there is nothing to tell anybody.")
    to_authority = record.notices_to(Told.AUTHORITY, given=True)
    return {
        "incident": str(record.incident.id),
        "contact": contact,
        "aware": when(breach.aware_at),
        "due": when(breach.due_at),
        "late": next((each.reason for each in to_authority if each.reason), ""),
        "phase": when(to_authority[0].at) if to_authority else "",
        "nature": "; ".join(_NATURE[Nature(each)] for each in breach.nature) or UNKNOWN,
        "facts": breach.facts or UNKNOWN,
        "categories": ", ".join(f"{_NAMES[each]} ({each})" for each in breach.data_categories) or UNKNOWN,
        "subjects": str(breach.subjects) if breach.subjects else UNKNOWN,
        "records": str(breach.records) if breach.records else UNKNOWN,
        "risk": _RISK[Risk(breach.risk)] if breach.risk else UNKNOWN,
        "consequences": breach.consequences or UNKNOWN,
        "measures": breach.measures or UNKNOWN,
        "people": _people(record),
    }


def draft(record: Record, to: Told, contact: str) -> tuple[str, str]:
    """Subject line and text. Raises Conflict where it is no personal data breach."""
    return render(TEMPLATES[to], values(record, contact))


def gaps(record: Record, contact: str) -> list[str]:
    """Names of what isn't known yet."""
    return sorted(name for name, value in values(record, contact).items() if value == UNKNOWN)


def when(at: datetime | None) -> str:
    """A time as notices have it."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if at is not None else UNKNOWN


def _people(record: Record) -> str:
    if given := record.notices_to(Told.SUBJECTS, given=True):
        return f"begun on {when(given[0].at)}"
    if withheld := record.notices_to(Told.SUBJECTS, given=False):
        return f"not made, Art. {withheld[-1].ground}: {withheld[-1].reason}"
    return "not decided yet"
