"""Entries of the transparency log: the types that there are with the fields that each holds, and the commitment to one.

An entry is JSON in the canonical form of RFC 8785 (keys sorted, no blanks; only ASCII text, integers and booleans occur):
`{"detail":{…},"id":"<uuid>","subject":"<uuid>","time":"2026-11-26T05:58:00.000000Z","type":"…"}`. `subject` is a pseudonym
that no other entry bears, where one person is meant; else it isn't there. What the log publishes of an entry is
HMAC-SHA256 under its 32 random bytes of salt: without the salt nobody can test a guess, with it nobody can find another
entry that fits. docs/privacy/transparency-log.md has test vectors.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from governance.datamap import DataUse, Store, registry
from governance.errors import DeclarationError
from governance.evidence.fields import Field, count, digest, flag, identifier, moment, named, names, one_of, ranges
from governance.vault.purpose import STAFF

SALT_BYTES = 32


class EntryType(StrEnum):
    """What is recorded, as `source:subject:action`."""

    POLICY_PUBLISHED = "policy:version:published"
    CONSENT_GIVEN = "consent:purpose:given"
    CONSENT_WITHDRAWN = "consent:purpose:withdrawn"
    REQUEST_OPENED = "request:case:opened"
    REQUEST_DECIDED = "request:case:decided"
    REQUEST_CLOSED = "request:case:closed"
    ERASURE_EXECUTED = "request:erasure:executed"
    KEY_DESTROYED = "vault:key:destroyed"
    KEY_ROTATED = "vault:key:rotated"
    STAFF_ACCESS = "vault:value:opened"
    RETENTION_RUN = "retention:rule:run"
    CONTROL_RUN = "control:check:run"
    INCIDENT_OPENED = "incident:record:opened"
    INCIDENT_ACKNOWLEDGED = "incident:record:acknowledged"
    INCIDENT_ASSESSED = "incident:record:assessed"
    INCIDENT_NOTIFIED = "incident:notice:recorded"
    INCIDENT_CLOSED = "incident:record:closed"
    ATTESTATION_RECORDED = "policy:attestation:recorded"
    PROMISE_BOUND = "policy:promise:bound"
    REPORT_ISSUED = "report:document:issued"
    SETTING_CHANGED = "settings:value:changed"
    EVENTS_RECORDED = "events:log:recorded"
    STORE_RESTORED = "backup:store:restored"
    LOG_RESTORED = "evidence:log:restored"
    LOG_REBUILT = "evidence:log:rebuilt"


def _column(value: Any) -> Any:
    """A declared column, by its name."""
    return one_of({column.name for column in registry()})(value)


_row: dict[str, Field] = {"row": digest}  # of the row that was written with it (`rows.Recorded`)
_incident = {"incident": identifier} | _row
_case = {"case": identifier}
_consent = {"purpose": one_of(DataUse), "version": named("policy")}
FIELDS: dict[EntryType, dict[str, Field]] = {
    EntryType.POLICY_PUBLISHED: _row | {"version": named("policy"), "digest": digest},
    EntryType.CONSENT_GIVEN: _consent,
    EntryType.CONSENT_WITHDRAWN: _consent,
    EntryType.REQUEST_OPENED: _case
    | {
        "right": one_of(("access", "rectification", "erasure", "restriction", "portability", "objection")),
        "intake": one_of(("page", "api", "mail", "agent", "operator")),
    },
    EntryType.REQUEST_DECIDED: _case | {"decision": one_of(("granted", "granted-in-part", "refused", "extended"))},
    EntryType.REQUEST_CLOSED: _case | {"outcome": one_of(("answered", "refused", "withdrawn", "unverified"))},
    EntryType.ERASURE_EXECUTED: _case | {"plan": digest, "rows": count, "keys": count},
    # Without a subject: the tombstone beside it holds the subject's id, and a pseudonym would be linked to that.
    EntryType.KEY_DESTROYED: {"subject": count, "period": count, "object": count, "service": count, "epoch": count},
    EntryType.KEY_ROTATED: {"kind": one_of(("subject", "service", "root")), "keys": count},
    EntryType.STAFF_ACCESS: {"column": _column, "use": one_of(DataUse), "actor": one_of(STAFF), "on_case": flag},
    EntryType.RETENTION_RUN: {"rule": named("rule"), "rows": count, "keys": count},
    EntryType.CONTROL_RUN: {
        "control": named("control"),
        "code": digest,
        "result": one_of(("passed", "failed", "unproven")),
        "examined": count,
        "failed": count,
    },
    EntryType.INCIDENT_OPENED: _incident | {"severity": one_of(("low", "medium", "high", "critical"))},
    EntryType.INCIDENT_ACKNOWLEDGED: _incident,
    EntryType.INCIDENT_ASSESSED: _incident
    | {
        "as": one_of(("personal-data-breach", "security-event", "defect")),
        "aware": moment,
        "subjects": count,
        "records": count,
    },
    EntryType.INCIDENT_NOTIFIED: _incident
    | {
        "recipient": one_of(("authority", "subjects", "controller")),
        "given": flag,
    },
    EntryType.INCIDENT_CLOSED: _incident,
    EntryType.ATTESTATION_RECORDED: _row | {"document": named("document"), "digest": digest, "expires": moment},
    EntryType.PROMISE_BOUND: _row
    | {
        "version": named("policy"),
        "statement": named("statement"),
        "controls": names("control"),
    },
    EntryType.REPORT_ISSUED: {"report": named("report"), "digest": digest},
    EntryType.SETTING_CHANGED: {"setting": named("setting")},
    EntryType.EVENTS_RECORDED: {"first": digest, "bytes": count, "digest": digest},
    EntryType.STORE_RESTORED: {"store": one_of(Store), "backup": digest},
    EntryType.LOG_REBUILT: {"start": count, "end": count},
    EntryType.LOG_RESTORED: {"store": one_of(Store), "known": count, "found": count, "lost": ranges},
}
"""Every field of a type must be given, and no other."""


def stamp(time: datetime) -> str:
    """An aware time as entries, and what rows say, have it: to the microsecond, RFC 3339."""
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry, read. `detail` as its JSON has it."""

    id: UUID
    time: datetime
    type: EntryType
    detail: Mapping[str, Any]
    subject: UUID | None = None

    @property
    def canonical(self) -> bytes:
        whole: dict[str, Any] = {
            "id": str(self.id),
            "time": stamp(self.time),
            "type": self.type.value,
            "detail": dict(self.detail),
        }
        if self.subject is not None:
            whole["subject"] = str(self.subject)
        return json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


@dataclass(frozen=True, slots=True)
class Opened:
    """What opens the leaf at a position: salt and canonical entry; `id` is that of the row they rest in, if they do."""

    position: int
    salt: bytes
    entry: bytes
    id: UUID | None = None


def checked(entry_type: EntryType, detail: Mapping[str, Any]) -> dict[str, Any]:
    """The detail as it stands in the entry. Raises DeclarationError where a field is missing, unknown or not of its kind."""
    declared = FIELDS[entry_type]
    if declared.keys() != detail.keys():
        wrong = sorted(declared.keys() ^ detail.keys())
        raise DeclarationError(f"An entry {entry_type.value} has the fields {sorted(declared)}: {wrong[0]!r} is wrong.")
    return {name: declared[name](value) for name, value in detail.items()}


def parse(canonical: bytes) -> Entry:
    """Read an entry. Raises ValueError where it isn't one, or not in the canonical form."""
    try:
        whole = json.loads(canonical)
        subject = UUID(whole["subject"]) if "subject" in whole else None
        time = datetime.strptime(whole["time"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
        entry = Entry(UUID(whole["id"]), time, EntryType(whole["type"]), dict(whole["detail"]), subject)
    except (KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("no entry") from None
    if entry.canonical != canonical:
        raise ValueError("not canonical")
    return entry


def read(canonical: bytes) -> Entry | None:
    """The same; None of what is no entry."""
    try:
        return parse(canonical)
    except ValueError:
        return None


def row_digest(salt: bytes, said: bytes) -> str:
    """What an entry holds of the row that it was recorded with, in hex. What an entry says begins with a brace, what a row
    says with a bracket: one salt serves both."""
    return hmac.digest(salt, said, hashlib.sha256).hex()


def commitment(salt: bytes, canonical: bytes) -> bytes:
    """What the log publishes: 32 bytes. The salt's length is fixed, since HMAC pads keys."""
    if len(salt) != SALT_BYTES:
        raise ValueError("a salt has 32 bytes")
    return hmac.digest(salt, canonical, hashlib.sha256)
