"""Behind TLS: cookies bound to the host, and HSTS."""

from pathlib import Path

import pytest

from tests.router.web.running import PASSWORD, Stores, form_token, serve

pytestmark = pytest.mark.parametrize("stores", ["sqlite"], indirect=True)


async def test_cookies_are_host_bound_and_secure(stores: Stores, tmp_path: Path) -> None:
    async with serve(stores, tmp_path / "home", public_url="https://api.example.org") as web, web.client() as client:
        await web.person("a@example.org")
        page = await client.get("/portal/sign-in")
        assert page.headers["strict-transport-security"].startswith("max-age=31536000")
        browser = page.headers["set-cookie"]
        assert browser.startswith("__Host-browser=")
        assert "Secure" in browser
        # The test speaks plain http, so the client keeps no Secure cookie by itself.
        headers = {"cookie": browser.partition(";")[0], "origin": "https://api.example.org"}
        fields = {"email": "a@example.org", "password": PASSWORD, "form_token": form_token(page.text)}
        answer = await client.post("/portal/sign-in", data=fields, headers=headers)
        session = answer.headers["set-cookie"]
        assert session.startswith("__Host-session=")
        assert all(part in session for part in ("Secure", "HttpOnly", "Path=/"))
        # A cookie without the prefix could have been planted by a neighbour, and is no session.
        planted = {"cookie": session.partition(";")[0].removeprefix("__Host-")}
        assert (await client.get("/portal/", headers=planted)).status_code == 303
        good = {"cookie": session.partition(";")[0]}
        assert (await client.get("/portal/", headers=good)).status_code == 200
