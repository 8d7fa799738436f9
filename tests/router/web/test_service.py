"""Health, readiness, metrics, and the files that pages need."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from router.settings import Settings
from tests.router.web.running import Running, Stores, serve

pytestmark = pytest.mark.parametrize("stores", ["sqlite"], indirect=True)


async def test_healthy_while_not_ready(web: Running) -> None:
    async with web.client() as client:
        assert (await client.get("/readyz")).status_code == 200
        web.reasons.append("No provider is active.")
        unready = await client.get("/readyz")
        assert (unready.status_code, unready.json()["reasons"]) == (503, ["No provider is active."])
        assert "retry-after" in unready.headers
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.head("/healthz")).status_code == 200


async def test_metrics_label_routes_not_paths(web: Running) -> None:
    await web.person("a@example.org")
    async with web.client(headers=await web.bearer("a@example.org")) as client:
        await client.get("/canary-path?q=canary-query")
        await client.delete("/v1/account/keys/canary-id")
        text = (await client.get("/metrics")).text
    assert 'valueapi_web_requests_total{method="DELETE",route="/v1/account/keys/{key_id}",status="404"} 1.0' in text
    assert 'route="none",status="404"' in text
    assert "canary" not in text
    assert "example.org" not in text


async def test_metrics_are_for_the_networks_in_the_settings(stores: Stores, tmp_path: Path) -> None:
    async with serve(stores, tmp_path / "a") as web, web.client() as client:
        # A proxy on this machine that nobody declared: who is behind it isn't known.
        assert (await client.get("/metrics", headers={"x-forwarded-for": "127.0.0.1"})).status_code == 404
        assert (await client.get("/metrics", headers={"forwarded": "for=127.0.0.1"})).status_code == 404
    async with serve(stores, tmp_path / "b", trusted_proxies="127.0.0.1") as web, web.client() as client:
        for address, status in (("8.8.8.8", 404), ("10.1.2.3", 404), ("127.0.0.9", 200), ("::1", 200), ("::2", 404)):
            assert (await client.get("/metrics", headers={"x-forwarded-for": address})).status_code == status
        assert (await client.get("/metrics", headers={"x-forwarded-for": "::ffff:127.0.0.1"})).status_code == 200
    wider = {"trusted_proxies": "127.0.0.1", "metrics_networks": "10.1.0.0/16, 192.0.2.7"}
    async with serve(stores, tmp_path / "c", **wider) as web, web.client() as client:
        for address, status in (("10.1.2.3", 200), ("192.0.2.7", 200), ("192.0.2.8", 404), ("127.0.0.1", 404)):
            assert (await client.get("/metrics", headers={"x-forwarded-for": address})).status_code == status
    async with serve(stores, tmp_path / "d", metrics_networks="") as web, web.client() as client:
        assert (await client.get("/metrics")).status_code == 404
    with pytest.raises(ValidationError, match="no address or network"):
        Settings(metrics_networks="10.0.0.0/8,everybody")


async def test_root_leads_to_the_portal_and_the_sheet_is_cached(web: Running) -> None:
    async with web.client() as client:
        root = await client.get("/")
        assert (root.status_code, root.headers["location"]) == (303, "/portal/")
        page = (await client.get("/portal/sign-in")).text
        address = page.partition('rel="stylesheet" href="')[2].partition('"')[0]
        sheet = await client.get(address)
        assert (sheet.status_code, sheet.headers["content-type"]) == (200, "text/css; charset=utf-8")
        assert "max-age" in sheet.headers["cache-control"]
        assert (await client.get("/static/../app.py")).status_code == 404
        assert (await client.get("/static/icon.svg")).headers["content-type"].startswith("image/svg+xml")
