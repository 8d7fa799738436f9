"""Imports every module that declares a table, so that the registry is whole; a house test finds one that is missing."""

# ruff: noqa: F401

import governance.backup.registry
import governance.bodies.attestation
import governance.bodies.probe_run
import governance.controls.runs
import governance.evidence.changed_settings
import governance.evidence.event_log
import governance.evidence.pending
import governance.incidents.affected
import governance.incidents.assessment
import governance.incidents.notice
import governance.incidents.opening
import governance.jobs.due
import governance.pair
import governance.vault.blind_index
import governance.vault.channel_postgres
import governance.vault.clock_watch
import governance.vault.keys
import governance.vault.mirrors
import governance.vault.openings
import governance.vault.permitted
import governance.vault.rotation
import governance.vault.staff_opening
import policies.announcements
import policies.attestations
import policies.bindings
import policies.drafts
import policies.versions
import router.accounts.account
import router.accounts.api_key
import router.accounts.one_time
import router.accounts.person
import router.accounts.session
import router.billing.lease
import router.billing.ledger
import router.billing.offer
import router.billing.usage_log
import router.recipients.outbound_host
