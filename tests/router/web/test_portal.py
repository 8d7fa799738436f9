"""Pages on a real socket, as a browser without JavaScript uses them."""

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode
from uuid import uuid4

import pytest

from governance import clock
from governance.datamap import DataUse
from governance.ids import uuid7
from router.accounts import person as people
from router.accounts.roles import Role
from router.billing import ledger, usage_log
from router.billing.meter_event import MeterEvent
from tests.router.web.running import PASSWORD, Running, form_token, submit

pytestmark = pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
EMAIL = "ada@example.org"


async def test_the_way_in_and_out(web: Running) -> None:
    async with web.client() as client:
        sent = await submit(client, "/portal/sign-up", {"email": EMAIL})
        assert (sent.status_code, "Look into your mail" in sent.text) == (200, True)
        link = (await web.link("confirm")).removeprefix(web.base)
        # A scanner that opens links, however often, uses nothing up.
        for _ in range(3):
            assert (await client.get(link)).status_code == 200
        unready = await submit(client, "/portal/sign-in", {"email": EMAIL, "password": PASSWORD})
        assert (unready.status_code, "is wrong" in unready.text) == (401, True)
        token = link.rpartition("=")[2]
        short = await submit(client, link, {"token": token, "password": "short"}, to="/portal/confirm")
        assert (short.status_code, "12 to 256" in short.text, token in short.text) == (422, True, True)
        fields = {"token": token, "password": PASSWORD}
        confirmed = await submit(client, link, fields, to="/portal/confirm")
        assert (confirmed.status_code, confirmed.headers["location"]) == (303, "/portal/sign-in?done=confirmed")
        assert "Your address is confirmed" in (await client.get(confirmed.headers["location"])).text
        signed_in = await submit(client, "/portal/sign-in", {"email": EMAIL, "password": PASSWORD})
        assert (signed_in.status_code, signed_in.headers["location"]) == (303, "/portal/")
        overview = await client.get("/portal/")
        assert EMAIL in overview.text
        held = client.cookies["session"]
        out = await submit(client, "/portal/", {}, to="/portal/sign-out")
        assert out.headers["location"] == "/portal/sign-in?done=signed-out"
        assert "session" not in client.cookies
    # The cookie that somebody kept is worth nothing.
    async with web.client(cookies={"session": held}) as kept:
        answer = await kept.get("/portal/")
        assert (answer.status_code, answer.headers["location"]) == (303, "/portal/sign-in")


async def test_sign_up_shows_the_same_page_for_a_known_address(web: Running) -> None:
    await web.person(EMAIL)
    async with web.client() as client:
        await client.get("/portal/sign-up")
        known = await submit(client, "/portal/sign-up", {"email": EMAIL})
        unknown = await submit(client, "/portal/sign-up", {"email": "new@example.org"})
        assert (known.status_code, known.content) == (unknown.status_code, unknown.content)
        known = await submit(client, "/portal/password-reset", {"email": EMAIL})
        unknown = await submit(client, "/portal/password-reset", {"email": "nobody@example.org"})
        assert (known.status_code, known.content) == (unknown.status_code, unknown.content)


async def test_signing_in_changes_the_session(web: Running) -> None:
    """Fixation: a session that was planted or known before doesn't become the signed-in one."""
    await web.person(EMAIL)
    async with web.client(cookies={"session": "planted" + "x" * 36}) as client:
        await submit(client, "/portal/sign-in", {"email": EMAIL, "password": PASSWORD})
        values = [cookie.value for cookie in client.cookies.jar if cookie.name == "session"]
        assert any(not value.startswith("planted") for value in values)
    async with web.browser(EMAIL) as browser:
        first = browser.cookies["session"]
        page = await browser.get("/portal/")
        again = {"email": EMAIL, "password": PASSWORD, "form_token": form_token(page.text)}
        await browser.post("/portal/sign-in", data=again)
        assert browser.cookies["session"] != first
    async with web.client(cookies={"session": first}) as old:
        assert (await old.get("/portal/")).status_code == 303


async def test_session_cookie_cant_be_read_or_sent_along(web: Running) -> None:
    await web.person(EMAIL)
    async with web.client() as client:
        answer = await submit(client, "/portal/sign-in", {"email": EMAIL, "password": PASSWORD})
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("session=")
        assert all(part in cookie for part in ("HttpOnly", "SameSite=lax", "Path=/", "Max-Age=43200"))
        assert "Domain" not in cookie


CHANGES = (
    ("/portal/keys", {"name": "x"}),
    ("/portal/data-policy", {"zdr": "yes"}),
    ("/portal/password", {"current": PASSWORD, "password": "another long passphrase"}),
    ("/portal/sign-out", {"empty": ""}),
)


@pytest.mark.parametrize(("path", "fields"), CHANGES, ids=[path for path, _ in CHANGES])
async def test_a_form_without_our_token_changes_nothing(web: Running, path: str, fields: dict[str, str]) -> None:
    await web.person(EMAIL)
    await web.person("eve@example.org")
    async with web.browser(EMAIL) as browser, web.browser("eve@example.org") as other:
        own = form_token((await browser.get("/portal/")).text)
        foreign = form_token((await other.get("/portal/")).text)
        for token in ({}, {"form_token": ""}, {"form_token": foreign}, {"form_token": own[:-1]}):
            answer = await browser.post(path, data=fields | token)
            assert answer.status_code == 403, token
        right = fields | {"form_token": own}
        for headers in (
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},
            {"origin": "https://evil.example"},
            {"origin": web.base.replace("127.0.0.1", "localhost")},
        ):
            assert (await browser.post(path, data=right, headers=headers)).status_code == 403, headers
        # Another kind of body could be sent across sites without a preflight.
        assert (await browser.post(path, content=b"x", headers={"content-type": "text/plain"})).status_code == 415
        assert (await browser.get("/portal/")).status_code == 200
        assert "You have no key yet" in (await browser.get("/portal/keys")).text
        # And the control: with all of it right, it is done.
        done = await browser.post(path, data=right, headers={"sec-fetch-site": "same-origin", "origin": "null"})
        assert done.status_code in (200, 303)


async def test_forms_before_sign_in_are_bound_to_the_browser(web: Running) -> None:
    """Login CSRF: another site, or another browser's page, can't sign a person in to an account that isn't theirs."""
    await web.person(EMAIL)
    async with web.client() as victim, web.client() as attacker:
        foreign = form_token((await attacker.get("/portal/sign-in")).text)
        fields = {"email": EMAIL, "password": PASSWORD, "form_token": foreign}
        assert (await victim.post("/portal/sign-in", data=fields)).status_code == 403
        await victim.get("/portal/sign-in")
        assert (await victim.post("/portal/sign-in", data=fields)).status_code == 403
        assert "session" not in victim.cookies


@pytest.mark.parametrize("cookie", ["session", "browser"])
async def test_a_cookie_alone_doesnt_make_the_token_of_its_forms(web: Running, cookie: str) -> None:
    """Who planted a cookie knows its value, and the source of the service, but not its secret."""
    await web.person(EMAIL)
    planted = b"planted" + b"x" * 36
    labels = (b"", b"valueapi/csrf/1", b"form\0", f"valueapi/form/{cookie}\0".encode())
    made = {
        urlsafe_b64encode(hmac.digest(key, text, hashlib.sha256)).decode().rstrip("=")
        for label in labels
        for key, text in ((planted, label), (label, planted), (b"", label + planted))
    }
    async with web.client(cookies={cookie: planted.decode()}) as victim:
        for token in made:
            fields = {"email": EMAIL, "password": PASSWORD, "form_token": token}
            assert (await victim.post("/portal/sign-in", data=fields)).status_code == 403
        page = (await victim.get("/portal/sign-in")).text
        ours = urlsafe_b64encode(
            hmac.digest(web.context.cell_secret, f"valueapi/form/{cookie}\0".encode() + planted, hashlib.sha256)
        )
        assert form_token(page) == ours.decode().rstrip("=")


async def test_a_key_is_shown_once_named_and_revoked(web: Running) -> None:
    await web.person(EMAIL)
    async with web.browser(EMAIL) as browser:
        made = await submit(browser, "/portal/keys", {"name": "laptop"})
        found = re.search(r"sk-va-\w+", made.text)
        assert found is not None
        secret = found[0]
        assert (await web.context.directory.find(secret)) is not None
        listed = (await browser.get("/portal/keys")).text
        assert secret not in listed
        key_id = re.search(r"/portal/keys/([0-9a-f-]{36})/revoke", listed)[1]  # type: ignore[index]
        await submit(browser, f"/portal/keys/{key_id}", {"name": "desktop"})
        assert "desktop" in (await browser.get("/portal/keys")).text
        asked = await browser.get(f"/portal/keys/{key_id}/revoke")
        assert "can't be undone" in asked.text or "can&#39;t be undone" in asked.text
        assert (await web.context.directory.find(secret)) is not None  # asking revokes nothing
        done = await submit(browser, f"/portal/keys/{key_id}/revoke", {})
        assert done.headers["location"] == "/portal/keys?done=key-revoked"
        assert web.context.directory.cached(secret) is None
        assert (await browser.get(f"/portal/keys/{key_id}")).status_code == 404


async def test_another_accounts_key_has_no_page(web: Running) -> None:
    await web.person(EMAIL)
    await web.person("eve@example.org")
    async with web.browser(EMAIL) as browser, web.browser("eve@example.org") as other:
        await submit(browser, "/portal/keys", {"name": "mine"})
        key_id = re.search(r"/portal/keys/([0-9a-f-]{36})/revoke", (await browser.get("/portal/keys")).text)[1]  # type: ignore[index]
        token = {"form_token": form_token((await other.get("/portal/")).text)}
        for answer in (
            await other.get(f"/portal/keys/{key_id}"),
            await other.get(f"/portal/keys/{key_id}/revoke"),
            await other.post(f"/portal/keys/{key_id}", data=token | {"name": "theirs"}),
            await other.post(f"/portal/keys/{key_id}/revoke", data=token),
            await other.get("/portal/keys/nonsense"),
        ):
            assert answer.status_code == 404
            assert "mine" not in answer.text
        assert "Active" in (await browser.get("/portal/keys")).text


async def test_what_people_type_stays_text(web: Running) -> None:
    script = '"><script>alert(1)</script>'
    await web.person(EMAIL)
    async with web.client(headers={"user-agent": script}) as client:
        await submit(client, "/portal/sign-in", {"email": EMAIL, "password": PASSWORD})
        pages = [await submit(client, "/portal/keys", {"name": script})]
        for path in ("/portal/keys", "/portal/", f"/portal/?done={script}", f"/portal/confirm?token={script}"):
            pages.append(await client.get(path))
        key_id = re.search(r"/portal/keys/([0-9a-f-]{36})/revoke", pages[1].text)[1]  # type: ignore[index]
        pages.append(await client.get(f"/portal/keys/{key_id}"))
        pages.append(await submit(client, "/portal/sign-up", {"email": script}))
        for page in pages:
            assert "<script" not in page.text
        assert "&lt;script&gt;" in pages[0].text


async def test_no_redirect_leads_elsewhere(web: Running) -> None:
    await web.person(EMAIL)
    async with web.client(headers={"host": web.base.removeprefix("http://")}) as client:
        fields = {"email": EMAIL, "password": PASSWORD, "next": "https://evil.example", "return": "//evil.example"}
        answer = await submit(client, "/portal/sign-in?next=https://evil.example", fields)
        assert answer.headers["location"] == "/portal/"
    async with web.client() as client:
        for path in ("/portal?next=//evil.example", "//evil.example/portal", "/portal/keys?next=//evil.example"):
            answer = await client.get(web.base + path)
            assert "evil" not in answer.headers.get("location", "")


async def test_every_page_forbids_scripts_frames_and_referrers(web: Running) -> None:
    await web.person(EMAIL)
    async with web.browser(EMAIL) as browser:
        for path in (
            "/portal/", "/portal/keys", "/portal/data-policy", "/portal/password", "/portal/nothing",
            "/portal/confirm?token=x", "/portal/password-reset?token=x", "/portal/sign-up", "/static/site.css",
        ):  # fmt: skip
            answer = await browser.get(path)
            policy = answer.headers["content-security-policy"]
            assert policy.startswith("default-src 'none'; style-src 'self';"), path
            assert "unsafe" not in policy
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "permissions-policy" in answer.headers
            assert "strict-transport-security" not in answer.headers  # plain http: RFC 6797 section 7.2
            assert "<script" not in answer.text
            assert "style=" not in answer.text


async def test_data_policy_form(web: Running) -> None:
    await web.person(EMAIL)
    async with web.browser(EMAIL) as browser:
        fields = {
            "deny_collection": "yes", "max_retention_days": "7", "ignore": ["openai", "google"], "region": ["local"],
            "order": "anthropic, deepseek",
        }  # fmt: skip
        saved = await submit(browser, "/portal/data-policy", fields)
        assert saved.headers["location"] == "/portal/data-policy?done=data-policy-saved"
        headers = await web.bearer(EMAIL)
        async with web.client(headers=headers) as client:
            assert (await client.get("/v1/account/data-policy")).json() == {
                "data_collection": "deny", "max_retention_days": 7, "ignore": ["google", "openai"], "region": ["local"],
                "order": ["anthropic", "deepseek"], "allow_fallbacks": False, "allow_store": False,
            }  # fmt: skip
        page = (await browser.get("/portal/data-policy")).text
        assert re.search(r'name="ignore" value="openai" checked', page)
        assert 'name="max_retention_days" type="number" value="7"' in page
        wrong = await submit(browser, "/portal/data-policy", {"max_retention_days": "many"})
        assert wrong.status_code == 400
        assert "aria-invalid" in wrong.text
        # The refusal left what was saved, and the page says so.
        assert re.search(r'name="ignore" value="openai" checked', wrong.text)


async def test_reset_by_the_mailed_page(web: Running) -> None:
    await web.person(EMAIL)
    fresh = "another long passphrase"
    async with web.client() as client:
        await submit(client, "/portal/password-reset", {"email": EMAIL})
        link = (await web.link("password-reset")).removeprefix(web.base)
        token = link.rpartition("=")[2]
        to = "/portal/password-reset/confirm"
        short = await submit(client, link, {"token": token, "password": "short"}, to=to)
        assert (short.status_code, "12 to 256" in short.text) == (422, True)
        done = await submit(client, link, {"token": token, "password": fresh}, to=to)
        assert done.headers["location"] == "/portal/sign-in?done=password-reset"
        again = await submit(client, link, {"token": token, "password": fresh}, to=to)
        assert (again.status_code, token in again.text) == (422, False)
        signed_in = await submit(client, "/portal/sign-in", {"email": EMAIL, "password": fresh})
        assert signed_in.headers["location"] == "/portal/"


async def test_password_page(web: Running) -> None:
    person = await web.person(EMAIL)
    async with web.context.data.transaction(DataUse.SERVICE) as session:
        row = await people.person_of(session, person.subject_id)
        assert row is not None
        row.first_password = True
    async with web.browser(EMAIL) as browser, web.browser(EMAIL) as elsewhere:
        assert "still use your first password" in (await browser.get("/portal/")).text
        fresh = "another long passphrase"
        wrong = await submit(browser, "/portal/password", {"current": "not that one", "password": fresh})
        assert (wrong.status_code, "Your present password is wrong" in wrong.text) == (422, True)
        assert fresh not in wrong.text
        done = await submit(browser, "/portal/password", {"current": PASSWORD, "password": fresh})
        assert done.headers["location"] == "/portal/?done=password-changed"
        assert "still use your first password" not in (await browser.get("/portal/")).text
        assert (await elsewhere.get("/portal/")).status_code == 303


async def test_overview_shows_money_and_usage(web: Running) -> None:
    person = await web.person(EMAIL)
    data, keys = web.context.data, web.context.keys
    async with data.transaction(DataUse.PAYMENT) as session:
        await ledger.grant(session, person.account_id, 12_345_678, "g", ledger.EntryKind.DEMO)
        event = MeterEvent(
            request_id=uuid7(), account_id=person.account_id, subject_id=person.subject_id, api_key_id=uuid4(),
            at_ms=clock.unix_ms(), endpoint="chat", model="simulator/gpt", provider="simulator", input_tokens=1234,
            cached_input_tokens=0, cache_write_tokens=0, output_tokens=5, estimated=False, charge_microcredits=700, latency_ms=12,
            first_byte_ms=6, status=200, outcome="completed", ip=None, user_agent=None,
        )  # fmt: skip
        await usage_log.add(session, [await usage_log.row_of(keys, event)])
    async with web.browser(EMAIL) as browser:
        page = (await browser.get("/portal/")).text
    for shown in ("12.345678", "0.0007", "simulator/gpt", "1,234"):
        assert shown in page


@pytest.mark.parametrize("role", list(Role))
async def test_each_role_sees_its_own_page(web: Running, role: Role) -> None:
    person = await web.person(EMAIL)
    await people.set_role(web.context.data, person.subject_id, role, bump=lambda: None)
    web.reasons.append("The journal is full.")
    async with web.browser(EMAIL) as browser:
        status, own = await browser.get("/portal/status"), await browser.get("/portal/role")
        assert (status.status_code == 200) == (role is Role.OPERATOR)
        assert (own.status_code == 200) == (role in (Role.LEGAL, Role.AUDITOR, Role.PRIVACY_OFFICER))
        if role is Role.OPERATOR:
            assert "The journal is full." in status.text
            assert "Inactive" in status.text
            assert "simulator-anthropic" in status.text
        navigation = (await browser.get("/portal/")).text
        assert ("/portal/status" in navigation) == (role is Role.OPERATOR)
