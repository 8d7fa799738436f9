"""What the account API takes and answers: `docs/api.md` and the OpenAPI document show these fields."""

from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, RootModel


class _Shape(BaseModel):
    """Prints nothing of what it carries: passwords, tokens and addresses pass through here."""

    model_config = ConfigDict(hide_input_in_errors=True)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} ***>"

    __str__ = __repr__


class DataPolicy(RootModel[dict[str, Any]]):
    """The fields of a request's `provider` object, and `allow_store`: a provider may store what a request asks it to."""

    model_config = ConfigDict(hide_input_in_errors=True)


class _Fields(_Shape):
    model_config = ConfigDict(extra="forbid", strict=True)


class Credentials(_Fields):
    """Address and password; the password's rules are the accounts'."""

    email: str = Field(max_length=254)
    password: str = Field(max_length=1024)


class Address(_Fields):
    """Whom to write to."""

    email: str = Field(max_length=254)


class NewPassword(_Fields):
    """A token from a mail, and the password to set."""

    token: str = Field(max_length=200)
    password: str = Field(max_length=1024)


class KeyFields(_Fields):
    """A key to make; its data policy can only be stricter than the account's."""

    name: str = Field(max_length=200)
    data_policy: DataPolicy | None = None


class KeyChange(_Fields):
    """What to change of a key; `data_policy` null takes its own policy away."""

    name: str | None = Field(None, max_length=200)
    data_policy: DataPolicy | None = None


# Names that a 422 may show.
BODIES: Final = (Credentials, Address, NewPassword, KeyFields, KeyChange)


class _Answer(_Shape):
    model_config = ConfigDict(from_attributes=True)


class Told(_Answer):
    """A sentence that is the same whether an address is known or not."""

    message: str


class Confirmed(_Answer):
    """The address is confirmed, and the password is set."""

    confirmed: bool


class Changed(_Answer):
    """The password is changed."""

    changed: bool


class Session(_Answer):
    """A session that began."""

    session_token: str
    token_type: str
    expires_at: datetime


class Me(_Answer):
    """Who is signed in."""

    account_id: UUID
    email: str | None
    role: str
    state: str
    first_password: bool
    session_expires_at: datetime


class Key(_Answer):
    """An API key as its owner sees it."""

    id: UUID
    name: str
    prefix: str
    data_policy: DataPolicy | None
    created_at: datetime
    revoked_at: datetime | None


class NewKey(Key):
    """With its secret, this once."""

    secret: str


class Keys(_Answer):
    """The account's keys."""

    keys: list[Key]


class Total(_Answer):
    """One model's usage on one UTC day."""

    day: date
    model: str
    requests: int
    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    output_tokens: int
    charge_microcredits: int


class Usage(_Answer):
    """One request: counts, times and price."""

    id: UUID
    at: datetime
    api_key_id: UUID
    endpoint: str
    model: str
    provider: str
    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    output_tokens: int
    estimated: bool
    charge_microcredits: int
    latency_ms: int
    first_byte_ms: int | None
    status: int
    outcome: str


class UsagePage(_Answer):
    """`requests` newest first; the next page begins at `next_before`, null on the last."""

    balance_microcredits: int
    days: int
    totals: list[Total]
    requests: list[Usage]
    next_before: UUID | None
