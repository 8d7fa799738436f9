"""Errors say what is wrong and never what was sent."""

import json
import logging

import pytest
import structlog

from governance.errors import SealBroken
from router.accounts.api_key import ApiKeys
from router.web import usage
from tests.router.web.running import PASSWORD, Running, submit

pytestmark = pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
CANARY = "canary-7f3a"
API = "/v1/account"


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"email": 5}, 422, "email"),
        ({"email": [CANARY]}, 422, "email"),
        ({}, 422, "email"),
        ({"email": "a@example.org", "password": CANARY}, 422, "password"),
        ({"email": "a@example.org", CANARY: CANARY}, 422, "body"),
        ({"email": CANARY * 100}, 422, "email"),
        ({"email": CANARY}, 422, "email"),
        ([CANARY], 422, "body"),
        (CANARY, 422, "body"),
    ],
)
async def test_422_names_fields_and_repeats_nothing(web: Running, body: object, status: int, param: str) -> None:
    async with web.client() as client:
        answer = await client.post(f"{API}/sign-up", json=body)
    assert (answer.status_code, answer.json()["param"]) == (status, param)
    assert answer.headers["content-type"] == "application/problem+json"
    assert CANARY not in answer.text
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


async def test_query_parameters_too(web: Running) -> None:
    await web.person("a@example.org")
    async with web.client(headers=await web.bearer("a@example.org")) as client:
        for query in ({"days": CANARY}, {"days": 400}, {"before": CANARY}, {"limit": 0}):
            answer = await client.get(f"{API}/usage", params=query)
            assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, next(iter(query)))
            assert CANARY not in answer.text


async def test_a_key_in_the_url_is_refused_with_the_reason_and_never_shown(web: Running) -> None:
    await web.person("a@example.org")
    key = f"sk-va-{CANARY}"
    async with web.client(headers=await web.bearer("a@example.org")) as client:
        for path in (f"{API}/me", "/portal/sign-in", "/portal/", "/portal/confirm", "/openapi.json", "/nowhere"):
            for name in ("key", "api_key", "token"):
                for method in ("GET", "POST"):
                    answer = await client.request(method, path, params={name: key})
                    assert answer.status_code == 401 and "must not be in the URL" in answer.text, (path, name)
                    assert CANARY not in answer.text + str(answer.headers)
                    page = path.startswith("/portal")
                    kind = "text/html; charset=utf-8" if page else "application/problem+json"
                    assert answer.headers["content-type"] == kind
                    assert page or answer.json()["code"] == "api_key_in_url"
        assert (await client.get("/portal/confirm", params={"token": "t" * 43})).status_code == 200
        assert (await client.get(f"{API}/me")).status_code == 200


async def test_what_isnt_json(web: Running) -> None:
    async with web.client() as client:
        for content, kind, status in (
            (f'{{"email": "{CANARY}"', "application/json", 400),
            (CANARY.encode() + b"\xff", "application/json", 400),
            (b"[" * 60_000, "application/json", 400),
            (b'{"email":"a","password":"b"}', "text/plain", 415),
            (b'{"email":"a","password":"b"}', "application/x-www-form-urlencoded", 415),
        ):
            answer = await client.post(f"{API}/sign-in", content=content, headers={"content-type": kind})
            assert answer.status_code == status, (kind, answer.text)
            assert CANARY not in answer.text


async def test_unknown_routes_and_methods(web: Running) -> None:
    async with web.client() as client:
        for path in (
            f"/{CANARY}",
            f"/v1/privacy/{CANARY}",
            f"/v1/receipts/{CANARY}",
            f"{API}/{CANARY}",
            "/docs",
            "/redoc",
        ):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
            assert CANARY not in answer.text
        wrong = await client.get(f"{API}/sign-in")
        assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
        page = await client.get(f"/portal/{CANARY}")
        assert page.status_code == 404
        assert page.headers["content-type"].startswith("text/html")
        assert CANARY not in page.text
        # No redirect is made from what the caller says it is.
        slash = await client.get("/portal/keys/", headers={"host": "evil.example"})
        assert slash.status_code == 404 or "evil" not in slash.headers.get("location", "")


async def test_a_body_beyond_64_kib_is_413(web: Running) -> None:
    async with web.client() as client:
        for content in (b"x" * 70_000, _chunks(70_000)):
            answer = await client.post(f"{API}/sign-in", content=content, headers={"content-type": "application/json"})
            assert (answer.status_code, answer.json()["code"]) == (413, "request_too_large")
        page = await client.post("/portal/sign-in", content=b"x" * 70_000)
        assert page.status_code == 413
        assert page.headers["content-type"].startswith("text/html")


async def _chunks(total: int):  # type: ignore[no-untyped-def]
    for _ in range(total // 1000):
        yield b"x" * 1000


async def test_our_own_fault_says_nothing(
    web: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    await web.person("a@example.org")
    headers = await web.bearer("a@example.org")

    async def broken(*_: object, **__: object) -> None:
        raise LookupError(CANARY)

    async with web.client(headers=headers) as client, web.browser("a@example.org") as browser:
        monkeypatch.setattr(usage, "overview", broken)
        with structlog.testing.capture_logs() as logs, caplog.at_level(logging.DEBUG, "uvicorn"):
            answer = await client.get(f"{API}/usage?q={CANARY}")
            page = await browser.get("/portal/")
    assert (answer.status_code, page.status_code) == (500, 500)
    assert answer.json()["code"] == "internal_error"
    entries = [entry for entry in logs if entry["event"] == "internal error"]
    assert [(entry["type"], entry["route"]) for entry in entries] == [
        ("LookupError", f"{API}/usage"),
        ("LookupError", "/portal/"),
    ]
    assert entries[0]["request_id"] == answer.headers["x-request-id"]
    captured = capfd.readouterr()
    everything = json.dumps(logs, default=str) + caplog.text + captured.out + captured.err + answer.text + page.text
    assert CANARY not in everything
    assert "Traceback" not in everything


async def test_a_broken_seal_is_our_fault_and_logged(web: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of our own packages that is no answer: not shown as if the person had done something wrong."""
    await web.person("a@example.org")

    async def broken(*_: object, **__: object) -> None:
        raise SealBroken(CANARY)

    async with web.browser("a@example.org") as browser:
        monkeypatch.setattr(ApiKeys, "create", broken)
        with structlog.testing.capture_logs() as logs:
            page = await submit(browser, "/portal/keys", {"name": "x"})
    assert (page.status_code, CANARY in page.text) == (500, False)
    assert [entry["type"] for entry in logs] == ["SealBroken"]


async def test_every_answer_carries_our_id_and_isnt_stored(web: Running) -> None:
    async with web.client(headers={"x-request-id": CANARY}) as client:
        seen = set()
        for path in (f"{API}/me", f"{API}/nothing", "/portal/sign-in", "/portal/", "/healthz", "/openapi.json"):
            answer = await client.get(path)
            assert answer.headers["x-request-id"].startswith("req_")
            assert answer.headers["cache-control"] == "no-store"
            seen.add(answer.headers["x-request-id"])
        assert len(seen) == 6


async def test_openapi_names_no_answer_that_isnt_sent(web: Running) -> None:
    async with web.client() as client:
        document = (await client.get("/openapi.json")).json()
    assert "HTTPValidationError" not in json.dumps(document)
    assert set(document["paths"]) == {
        f"{API}/{name}"
        for name in (
            "sign-up", "confirm", "sign-in", "sign-out", "password-reset", "password-reset/confirm", "me", "keys",
            "keys/{key_id}", "usage", "data-policy",
        )
    }  # fmt: skip
    assert PASSWORD not in json.dumps(document)
