"""Every route of the web application is asked, as a person and as an operator; none opens what its column, or the route
itself, doesn't declare. Forms are filled as they are on the page, bodies as the OpenAPI document names them."""

import dataclasses
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from itertools import count
from typing import Any

import httpx2
import pytest
from fastapi.routing import iter_route_contexts

from governance.datamap import DataUse
from router.accounts.person import Person, set_role
from router.accounts.roles import Role
from router.surface import DOCUMENTS, Account, Portal, Service, Transparency, paths
from router.web.app import create_routes
from tests.router.web.running import PASSWORD, Running, Stores, form_token

pytestmark = pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
_LEAVES = {Account.SIGN_OUT.template, Portal.SIGN_OUT.template, Portal.PASSWORD.template}
_new = count()


class Forms(HTMLParser):
    """Each form of a page: where it goes and its fields as they are filled in."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag == "form":
            self.found.append((named.get("action") or "", {}))
        elif tag in ("input", "select", "textarea") and self.found and (name := named.get("name")):
            if named.get("type") in ("checkbox", "radio"):
                return
            self.found[-1][1][name] = named.get("value") or _value(name)


def _value(name: str) -> str:
    if "email" in name:
        return f"walker{next(_new)}@example.org"
    return PASSWORD if "password" in name else "walked"


def _body(document: dict[str, Any], operation: dict[str, Any]) -> dict[str, Any] | None:
    """Every required field of the operation's body."""
    if "requestBody" not in operation:
        return None
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return {name: _value(name) for name in schema.get("required", ())}


async def walk(web: Running, email: str) -> AsyncIterator[tuple[str, httpx2.Response]]:
    """Every (method, template) and its answer."""
    document = create_routes().openapi()
    bearer = await web.bearer(email)
    async with web.browser(email) as browser, web.client(headers=bearer) as client:
        made = await client.post(str(Account.KEYS), json={"name": "walked"})
        assert made.status_code == 201, made.text
        key_id = made.json()["id"]
        for path in (*paths(Account), *paths(Service)):
            for method in (each for methods in path.meaning for each in methods.split(", ")):
                if path.template in _LEAVES:
                    continue
                operation = document["paths"].get(path.template, {}).get(method.lower(), {})
                body = _body(document, operation)
                yield f"{method} {path}", await client.request(method, path.at(key_id=key_id), json=body)
        for path in paths(Transparency):
            for method in ("GET", "HEAD"):
                yield f"{method} {path}", await client.request(method, str(path).replace("{tile:path}", "0/000"))
        for path in (path for series in DOCUMENTS.values() for path in paths(series)):
            for method in ("GET", "HEAD"):
                yield f"{method} {path}", await client.request(method, path.at(version="2026-03", since="2026-03"))
        pages = [path for path in paths(Portal) if path.template not in _LEAVES]
        for path in pages:
            if "GET" not in path.meaning:
                continue
            page = await browser.get(path.at(key_id=key_id))
            yield f"GET {path}", page
            forms = Forms()
            forms.feed(page.text)
            for action, fields in forms.found:
                target = action or path.at(key_id=key_id)
                if any(target.endswith(leave) for leave in _LEAVES):
                    continue
                yield f"POST {target.replace(key_id, '{key_id}')}", await browser.post(target, data=fields)
        for path in pages:  # what no page of a signed-in person leads to
            if "POST" in path.meaning:
                token = await _token(browser)
                data = {"form_token": token, "token": "t" * 43, "email": _value("email"), "password": PASSWORD}
                yield f"POST {path}", await browser.post(path.at(key_id=key_id), data=data)
        token = await _token(browser)
        yield f"POST {Portal.SIGN_OUT}", await browser.post(str(Portal.SIGN_OUT), data={"form_token": token})
        yield f"POST {Account.SIGN_OUT}", await client.post(str(Account.SIGN_OUT))


async def _token(browser: httpx2.AsyncClient) -> str:
    page = await browser.get(str(Portal.KEYS))
    return form_token(page.text) if page.status_code == 200 else ""


async def refused(web: Running, email: str) -> tuple[set[str], list[str]]:
    """Templates that answered, and those that were refused an opening or failed."""
    asked, bad = set(), []
    async for name, answer in walk(web, email):
        asked.add(name)
        if answer.status_code >= 500 or "may not be used for this" in answer.text:
            bad.append(f"{name}: {answer.status_code}")
    return asked, bad


async def test_every_route_opens_what_it_declares_alone(web: Running, stores: Stores) -> None:
    data, keys = stores
    everyone: set[str] = set()
    for email, role in (("person@example.org", None), ("operator@example.org", Role.OPERATOR)):
        person = await web.person(email)
        if role is not None:
            await set_role(data, person.subject_id, role, bump=web.context.bump)
        asked, bad = await refused(web, email)
        assert bad == []
        everyone |= asked
    served = {
        f"{method} {route.path}"
        for route in iter_route_contexts(create_routes().routes)
        for method in route.methods or ()
    }
    left = {f"{method} {path}" for path in _LEAVES - {Portal.SIGN_OUT.template} for method in ("GET", "POST")}
    assert served - everyone <= left
    assert await keys.openings.seen(data)


async def test_a_use_that_a_column_does_not_declare_is_found(web: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The walk fails where it must."""
    await web.person("person@example.org")
    info = Person.__table__.c.email.info
    narrow = dataclasses.replace(info["declaration"], data_uses=frozenset({DataUse.NOTICES}))
    monkeypatch.setitem(info, "declaration", narrow)
    _, bad = await refused(web, "person@example.org")
    assert any(str(Portal.OVERVIEW) in name for name in bad)
