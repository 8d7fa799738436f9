"""Constraints: read strictly from body, headers and storage, never quoting what was sent."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import InvalidRequest
from router.providers.constraints import FIELDS, NONE, Constraints, as_dict, from_headers, header, parse, strictest

CANARY = "canary-c0de"
PROVIDERS = ("alpha", "beta", "gamma")
names = st.frozensets(st.sampled_from(PROVIDERS))
some_names = names.filter(bool)
constraints = st.builds(
    Constraints,
    data_collection=st.sampled_from(["allow", "deny"]),
    zdr=st.booleans(),
    only=st.none() | some_names,
    ignore=names,
    order=st.lists(st.sampled_from(PROVIDERS), unique=True).map(tuple),
    region=st.none() | st.frozensets(st.sampled_from(["us", "eu", "cn"]), min_size=1),
    headquarters=st.none() | st.frozensets(st.sampled_from(["US", "DE", "CN"]), min_size=1),
    certifications=st.frozensets(st.sampled_from(["soc2", "iso27001"])),
    max_retention_days=st.none() | st.integers(0, 60),
    allow_fallbacks=st.booleans(),
)


def test_parse_all_fields() -> None:
    got = parse(
        {
            "data_collection": "deny",
            "zdr": True,
            "only": ["OpenAI", "anthropic"],
            "ignore": ["deepseek"],
            "order": ["anthropic", "openai", "anthropic"],
            "region": "EU",
            "headquarters": ["de"],
            "certifications": ["SOC 2", "iso-27001"],
            "max_retention_days": 0,
            "allow_fallbacks": False,
        }
    )
    assert got == Constraints(
        data_collection="deny",
        zdr=True,
        only=frozenset({"openai", "anthropic"}),
        ignore=frozenset({"deepseek"}),
        order=("anthropic", "openai"),
        region=frozenset({"eu"}),
        headquarters=frozenset({"DE"}),
        certifications=frozenset({"soc2", "iso27001"}),
        max_retention_days=0,
        allow_fallbacks=False,
    )
    assert parse(None) == parse({}) == parse({"zdr": None}) == NONE


@pytest.mark.parametrize(
    ("value", "param"),
    [
        ([], "provider"),
        (CANARY, "provider"),
        ({CANARY: 1}, "provider"),
        ({"sort": "price"}, "provider.sort"),
        ({"data_colection": "deny"}, "provider"),
        ({"data_collection": CANARY}, "provider.data_collection"),
        ({"data_collection": True}, "provider.data_collection"),
        ({"zdr": "true"}, "provider.zdr"),
        ({"zdr": 1}, "provider.zdr"),
        ({"only": []}, "provider.only"),
        ({"only": [CANARY + " with blanks"]}, "provider.only"),
        ({"only": {"a": 1}}, "provider.only"),
        ({"ignore": ["x"] * 65}, "provider.ignore"),
        ({"region": []}, "provider.region"),
        ({"headquarters": ["Germany"]}, "provider.headquarters"),
        ({"certifications": [1]}, "provider.certifications"),
        ({"max_retention_days": -1}, "provider.max_retention_days"),
        ({"max_retention_days": True}, "provider.max_retention_days"),
        ({"max_retention_days": 1.5}, "provider.max_retention_days"),
        ({"allow_fallbacks": 0}, "provider.allow_fallbacks"),
    ],
)
def test_parse_refuses_what_it_would_have_to_ignore(value: object, param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse(value)
    assert refused.value.param == param and CANARY not in str(refused.value)


def test_a_slip_of_the_pen_is_named_by_the_right_spelling() -> None:
    with pytest.raises(InvalidRequest, match="did you mean `data_collection`"):
        parse({"data_colection": "deny"})


def head(**values: str) -> list[tuple[bytes, bytes]]:
    return [(f"X-ValueAPI-Provider-{k.replace('_', '-')}".encode(), v.encode()) for k, v in values.items()]


def test_every_constraint_is_declared_and_its_header_is_read() -> None:
    assert list(FIELDS) == [field.name for field in dataclasses.fields(Constraints)]
    for name, field in FIELDS.items():
        value = (
            "true"
            if "true" in field.kind
            else "allow"
            if name == "data_collection"
            else "7"
            if "number" in field.kind
            else "xx"
        )
        assert from_headers([(header(name).encode(), value.encode())]) == parse(
            {name: [value] if field.listed else {"true": True, "7": 7}.get(value, value)}
        )


def test_headers() -> None:
    got = from_headers(
        [
            (b"host", b"x"),
            (b"x-valueapi-provider-only", b"openai"),
            *head(
                data_collection="Deny",
                zdr="true",
                only="anthropic, google",
                ignore="deepseek",
                region="eu,us",
                headquarters="us",
                certifications="soc2",
                max_retention_days="30",
                order="google,anthropic",
                allow_fallbacks="false",
            ),
        ]
    )
    assert got.only == {"openai", "anthropic", "google"} and got.order == ("google", "anthropic")
    assert got.data_collection == "deny" and got.zdr and got.max_retention_days == 30 and not got.allow_fallbacks
    assert got.region == {"eu", "us"} and got.headquarters == {"US"}
    assert from_headers([(b"host", b"x"), (b"x-valueapi-other", b"y")]) == NONE


@pytest.mark.parametrize(
    "headers",
    [
        head(zdr="yes"),
        head(zdr=""),
        head(max_retention_days="30d"),
        head(max_retention_days=""),
        head(max_retention_days="-1"),
        head(only=""),
        head(only="a,,b"),
        head(data_collection=CANARY),
        head(canary_c0de="1"),
        head(zdr="true") + head(zdr="false"),
        [(b"x-valueapi-provider-data_collection", b"deny")],
        [(b"x-valueapi-provider-", b"deny")],
    ],
)
def test_headers_refused(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        from_headers(headers)
    assert CANARY not in str(refused.value) and CANARY not in str(refused.value.param)


@given(constraints)
def test_storage_round_trip(one: Constraints) -> None:
    assert parse(json.loads(json.dumps(as_dict(one)))) == one
    assert as_dict(NONE) == {}


def test_strictest() -> None:
    account = Constraints(only=frozenset({"alpha", "beta"}), max_retention_days=30, order=("beta",))
    key = Constraints(data_collection="deny", ignore=frozenset({"gamma"}), region=frozenset({"eu"}))
    request = Constraints(
        only=frozenset({"beta", "gamma"}), zdr=True, max_retention_days=60, region=frozenset({"us"}), order=("gamma",)
    )
    got = strictest(account, key, request)
    assert got.only == {"beta"} and got.max_retention_days == 30 and got.region == frozenset()
    assert got.data_collection == "deny" and got.zdr and got.ignore == {"gamma"}
    assert got.order == ("beta",)  # the request's wish names nobody who is left
    assert strictest() == NONE


@given(constraints, constraints)
def test_strictest_is_symmetric_but_for_the_wish(one: Constraints, other: Constraints) -> None:
    there, back = as_dict(strictest(one, other)), as_dict(strictest(other, one))
    there.pop("order", None), back.pop("order", None)
    assert there == back
