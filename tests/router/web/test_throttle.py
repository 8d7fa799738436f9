"""Guessing is slow: by address, and by account from any number of addresses."""

from pathlib import Path

import pytest

from tests.router.web.running import PASSWORD, Stores, serve, submit

pytestmark = pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
SIGN_IN = "/v1/account/sign-in"


def _body(email: str) -> dict[str, str]:
    return {"email": email, "password": PASSWORD}


async def test_one_address_guesses_no_further(stores: Stores, tmp_path: Path) -> None:
    async with serve(stores, tmp_path / "home", sign_in_attempts_per_minute=3) as web, web.client() as client:
        tried = [await client.post(SIGN_IN, json=_body(f"p{number}@example.org")) for number in range(4)]
        assert [answer.status_code for answer in tried] == [401, 401, 401, 429]
        assert 1 <= int(tried[3].headers["retry-after"]) <= 60
        # A client's own word for its address counts for nothing where no proxy is trusted.
        lied = await client.post(SIGN_IN, json=_body("q@example.org"), headers={"x-forwarded-for": "203.0.113.9"})
        assert lied.status_code == 429
        page = await submit(client, "/portal/sign-in", _body("q@example.org"))
        assert page.status_code == 429
        assert "retry-after" in page.headers
        assert "Too many attempts" in page.text


async def test_one_account_is_guessed_no_further_from_many_addresses(stores: Stores, tmp_path: Path) -> None:
    limits = {"sign_in_attempts_per_minute": 3, "trusted_proxies": "127.0.0.1"}
    async with serve(stores, tmp_path / "home", **limits) as web, web.client() as client:
        codes = []
        for number in range(4):
            # Spelt another way it is the same account.
            email = "ADA@Example.org" if number % 2 else "ada@example.org"
            headers = {"x-forwarded-for": f"203.0.113.{number}"}
            codes.append((await client.post(SIGN_IN, json=_body(email), headers=headers)).status_code)
        assert codes == [401, 401, 401, 429]
        other = await client.post(SIGN_IN, json=_body("eve@example.org"), headers={"x-forwarded-for": "203.0.113.9"})
        assert other.status_code == 401


async def test_one_ipv6_network_is_one_client(stores: Stores, tmp_path: Path) -> None:
    limits = {"sign_in_attempts_per_minute": 2, "trusted_proxies": "127.0.0.1"}
    async with serve(stores, tmp_path / "home", **limits) as web, web.client() as client:
        codes = []
        for number, address in enumerate(("2001:db8::1", "2001:db8::2", "2001:db8::ffff:1", "2001:db8:1::1")):
            headers = {"x-forwarded-for": address}
            codes.append((await client.post(SIGN_IN, json=_body(f"n{number}@e.org"), headers=headers)).status_code)
        assert codes == [401, 401, 429, 401]


async def test_sign_up_and_reset_send_few_mails(stores: Stores, tmp_path: Path) -> None:
    async with serve(stores, tmp_path / "home", sign_up_attempts_per_minute=2) as web, web.client() as client:
        first = await client.post("/v1/account/sign-up", json={"email": "a@example.org"})
        second = await client.post("/v1/account/password-reset", json={"email": "b@example.org"})
        third = await client.post("/v1/account/sign-up", json={"email": "c@example.org"})
        assert [answer.status_code for answer in (first, second, third)] == [202, 202, 429]
        assert len(await web.mails("confirm")) == 1


async def test_tokens_cant_be_tried_at_will(stores: Stores, tmp_path: Path) -> None:
    async with serve(stores, tmp_path / "home", sign_in_attempts_per_minute=2) as web, web.client() as client:
        guess = {"token": "x" * 43, "password": PASSWORD}
        codes = [(await client.post("/v1/account/confirm", json=guess)).status_code for _ in range(3)]
        assert codes == [422, 422, 429]


async def test_no_address_rests_in_a_cell(stores: Stores, tmp_path: Path) -> None:
    async with serve(stores, tmp_path / "home") as web, web.client() as client:
        await client.post(SIGN_IN, json=_body("ada@example.org"))
        cells = web.context.limiter._tats  # type: ignore[attr-defined]
        assert cells
        assert all(len(key) == 16 and b"ada" not in key for key in cells)
