"""Product settings on top of those that every command honours (governance/settings.py). Units stand last in names."""

import ipaddress
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from governance.period import Period
from governance.settings import GovernanceSettings, duration

OFF = "off"


def _duration_or_off(text: str) -> str:
    return text if text == OFF else duration(text)


Seconds = Annotated[float, Field(gt=0, le=3600)]


class Settings(GovernanceSettings):
    """Everything that `serve` and the other commands read."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=1, le=65535, description="Port to listen on.")
    workers: int = Field(1, ge=1, le=64, description="Serving processes on this machine.")
    public_url: str | None = Field(
        None, description="How people reach the service; used in mails. Default: host and port."
    )
    tls_cert: Path | None = Field(None, description="PEM certificate chain; with tls_key the service speaks TLS.")
    tls_key: Path | None = Field(None, description="PEM private key.")
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Addresses or networks whose X-Forwarded-For names the client; comma-separated."
    )

    metrics_networks: Annotated[tuple[str, ...], NoDecode] = Field(
        ("127.0.0.0/8", "::1"), description="Addresses or networks that may read /metrics; comma-separated."
    )

    confinement: Literal["on", "required", "off"] = Field(
        "on",
        description="Serving processes give up what they don't need (docs/privacy/confinement.md). on: what can't be held is "
        "said loudly and recorded; required: the service starts only where everything is held; off: for debuggers.",
    )
    lock_memory: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Keep memory out of swap. auto: lock it where the limits allow, else look whether there is swap at all; "
        "on: locked or not held; off: only look.",
    )
    write_watch: Literal["record", "strict", "off"] = Field(
        "record",
        description="Files that a gateway request opens for writing, beside the declared ones: recorded once per place in "
        "the code, or (strict) refused too.",
    )

    providers: Path | None = Field(None, description="A providers.yaml that alone defines providers and models.")
    allow_insecure_upstreams: bool = Field(False, description="Production: accept plain-http or loopback upstreams.")
    simulator: Literal["auto", "on", "off"] = Field(
        "auto", description="Local upstream simulator; auto: in development while no provider key is set."
    )
    upstream_attempts_max: int = Field(3, ge=1, le=10, description="Attempts per request over all its providers.")
    upstream_backoff_seconds: float = Field(0.25, ge=0, le=30, description="First wait before the same provider again.")
    upstream_connect_seconds: Seconds = Field(5, description="To connect to a provider.")
    upstream_first_byte_seconds: Seconds = Field(120, description="Until a provider's answer begins.")
    upstream_idle_seconds: Seconds = Field(120, description="Between two pieces of a provider's answer.")
    upstream_total_seconds: Seconds = Field(900, description="For one request over all attempts.")
    upstream_answer_bytes_max: int = Field(64 * 2**20, ge=1024, description="Largest answer that is not a stream.")
    breaker: bool = Field(True, description="Stop asking a provider that keeps failing.")
    breaker_failures: int = Field(5, ge=1, description="Failures in a row that open the breaker.")
    breaker_window_seconds: Seconds = Field(30, description="They must fall within this time.")
    breaker_cooldown_seconds: Seconds = Field(15, description="How long it stays open before one request tries again.")

    body_guard: bool = Field(
        True, description="Keep fragments of prompts and answers in flight from every sink; off only for measuring."
    )

    tiers: Path | None = Field(None, description="A limits.yaml with rate limits per tier.")
    demo_credits: int = Field(10, ge=0, le=1_000_000, description="Credits of the first-run account.")
    sign_up_credits_microcredits: int = Field(0, ge=0, description="Micro-credits that a confirmed sign-up receives.")
    sign_in_attempts_per_minute: int = Field(10, ge=1, description="Per client address and per account.")
    sign_up_attempts_per_minute: int = Field(5, ge=1, description="Per client address; password resets count too.")
    session_hours: int = Field(12, ge=1, le=24 * 30, description="How long a sign-in lasts.")
    principal_cache_seconds: float = Field(5, ge=0, le=60, description="How long a key stays known without a look-up.")

    head_bytes_max: int = Field(32 * 1024, ge=1024, description="Request line and headers.")
    headers_max: int = Field(100, ge=8, description="Number of request headers.")
    head_seconds_max: Seconds = Field(10, description="Until a request's head is complete.")
    body_bytes_max: int = Field(32 * 2**20, ge=1024, description="Largest request body.")
    body_idle_seconds_max: Seconds = Field(20, description="Between two pieces of a request body.")
    body_bytes_per_second_min: int = Field(100, ge=1, description="Slowest body, after the first ten seconds.")
    body_seconds_max: Seconds = Field(600, description="For a whole request body.")
    target_bytes_max: int = Field(8 * 1024, ge=256, description="Request target: path and query.")
    write_stalled_seconds_max: Seconds = Field(
        60, description="A client that doesn't read its answer is cut after this."
    )
    keepalive_seconds: Seconds = Field(75, description="An idle connection is closed after this.")
    connections_max: int = Field(10_000, ge=1, description="Open connections per process.")

    controls: bool = Field(
        True, description="The running service runs each control by its cadence; off leaves it to `valueapi verify`."
    )
    self_probe_every: Annotated[str, AfterValidator(_duration_or_off)] = Field(
        "PT6H",
        description="How often the running service probes itself for content at rest, an ISO 8601 duration, or off; after "
        "every deploy as well.",
    )
    self_probe_max_age: Annotated[str, AfterValidator(duration)] = Field(
        "PT13H", description="How old a clean probe may be for `x-valueapi-stored: none`, an ISO 8601 duration."
    )
    self_probe_logs: Annotated[tuple[Path, ...], NoDecode] = Field(
        (),
        description="Where the service's output is kept: files or folders that a probe searches too; comma-separated.",
    )
    close_on_leak: bool | None = Field(
        None,
        description="Answer 503 after a probe found content at rest, until an operator acknowledges the incident. Default: "
        "in production.",
    )

    policy_notice: Annotated[str, AfterValidator(duration)] = Field(
        "P30D",
        description="How long before it is in force a version with material changes is published, an ISO 8601 duration.",
    )
    recipient_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Hosts of the cloud hosting and edge computing providers that you use, each as `hosting=HOST` or "
        "`edge=HOST`; comma-separated. What is sent to any other host than declared ones is an incident.",
    )
    log_keys: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Verifier keys that signed the transparency log before the key store that had them was lost; "
        "comma-separated. Beside them only the key store's own signature is believed.",
    )
    witness_folders: Annotated[tuple[Path, ...], NoDecode] = Field(
        (),
        description="Existing folders outside the operator's reach that get the transparency log's newest checkpoint every "
        "day; comma-separated.",
    )
    witnesses: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Witnesses that cosign the checkpoint every day (c2sp.org/tlog-witness): submission prefix, a blank and "
        "verifier key; comma-separated.",
    )
    witness_mail: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Addresses that the checkpoint is mailed to every day, through Mailgun; comma-separated."
    )

    mailgun_key: SecretStr | None = Field(None, description="Mailgun API key; without it mails stay in the outbox.")
    mailgun_domain: str | None = Field(None, description="Mailgun sending domain.")
    mailgun_url: str = Field(
        "https://api.mailgun.net", description="Mailgun API address (EU: https://api.eu.mailgun.net)."
    )
    privacy_contact: str = Field(
        "privacy@valueapi.ai", description="The contact point that notices of breaches name (GDPR Art. 33(3)(b))."
    )
    mail_from: str = Field("ValueAPI <privacy@valueapi.ai>", description="Sender of mails.")

    @field_validator(
        *(
            "trusted_proxies",
            "metrics_networks",
            "self_probe_logs",
            "log_keys",
            "witness_folders",
            "witnesses",
            "witness_mail",
            "recipient_hosts",
        ),
        mode="before",
    )
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("recipient_hosts")
    @classmethod
    def _pairs(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(re.fullmatch(r"[a-z][a-z0-9-]*=[A-Za-z0-9.:_-]+", part) for part in value):
            raise ValueError("holds something that isn't `recipient=host`")
        return value

    @field_validator("trusted_proxies", "metrics_networks")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for part in value:
            try:
                ipaddress.ip_network(part)
            except ValueError:
                raise ValueError("holds something that is no address or network") from None
        return value

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("VALUEAPI_TLS_CERT and VALUEAPI_TLS_KEY go together: only one of them is set.")
        for name, file in (("TLS_CERT", self.tls_cert), ("TLS_KEY", self.tls_key), ("PROVIDERS", self.providers),
                           ("TIERS", self.tiers)):  # fmt: skip
            if file is not None and not file.is_file():
                raise ValueError(f"VALUEAPI_{name} names a file that doesn't exist.")
        if (self.mailgun_key is None) != (self.mailgun_domain is None):
            raise ValueError("VALUEAPI_MAILGUN_KEY and VALUEAPI_MAILGUN_DOMAIN go together: only one of them is set.")
        if self.witness_mail and self.mailgun_key is None:
            raise ValueError("VALUEAPI_WITNESS_MAIL needs VALUEAPI_MAILGUN_KEY and VALUEAPI_MAILGUN_DOMAIN.")
        if not all(folder.is_dir() for folder in self.witness_folders):
            raise ValueError("VALUEAPI_WITNESS_FOLDERS names a folder that doesn't exist.")
        if self.self_probe_every != OFF:
            epoch = datetime(2000, 1, 1, tzinfo=UTC)
            every, age = Period.parse(self.self_probe_every), Period.parse(self.self_probe_max_age)
            if not epoch < every.after(epoch) < age.after(epoch):
                raise ValueError(
                    "VALUEAPI_SELF_PROBE_MAX_AGE must be longer than VALUEAPI_SELF_PROBE_EVERY, or a probe would be too old "
                    "before the next one runs."
                )
        if self.production and self.simulator == "on":
            raise ValueError("VALUEAPI_SIMULATOR=on contradicts VALUEAPI_MODE=production.")
        return self

    def writable_folders(self) -> tuple[Path, ...]:
        return (*super().writable_folders(), *(folder.resolve() for folder in self.witness_folders))

    @property
    def closes_on_leak(self) -> bool:
        return self.production if self.close_on_leak is None else self.close_on_leak

    def own_url(self) -> str:
        """Where this machine reaches the service's own socket, past any proxy."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host)  # noqa: S104
        host = host or (f"[{self.host}]" if ":" in self.host else self.host)
        return f"{'https' if self.tls_cert else 'http'}://{host}:{self.port}"

    def base_url(self) -> str:
        """Where people reach the service."""
        if self.public_url:
            return self.public_url.rstrip("/")
        host = f"[{self.host}]" if ":" in self.host else self.host
        shown = "127.0.0.1" if self.host in ("0.0.0.0", "::") else host  # noqa: S104
        return f"{'https' if self.tls_cert else 'http'}://{shown}:{self.port}"
