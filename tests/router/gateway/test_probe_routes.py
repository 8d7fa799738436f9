"""The probe's routes exist while a file of the owner's says so, for a time, and lead to one port of this machine."""

import json
import os
import time
from pathlib import Path

import pytest

from router.gateway import probe_routes
from router.gateway.probe_routes import FILE, SECONDS_MAX, ProbeRoutes, announce, withdraw
from router.providers.catalog import Catalog
from router.surface import ENDPOINT_DIALECT, Endpoint


def test_they_come_and_go_with_the_file(tmp_path: Path) -> None:
    routes = ProbeRoutes(tmp_path)
    assert routes.catalog() is None
    announce(tmp_path, 4711, 60)
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    found = routes.catalog()
    assert found is not None and routes.catalog() is found  # read once
    served = {
        (route.base.authority, endpoint)
        for model in found.models
        for route in model.routes
        for endpoint in route.endpoints
    }
    assert served == {("127.0.0.1:4711", endpoint) for endpoint in ENDPOINT_DIALECT}
    assert {route.price.reserve_microcredits(10**9, 10**9) for model in found.models for route in model.routes} == {0}
    announce(tmp_path, 4712, 60)
    moved = routes.catalog()
    assert moved is not None and moved.models[0].routes[0].base.port == 4712
    withdraw(tmp_path)
    withdraw(tmp_path)
    assert routes.catalog() is None


def test_they_end_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    routes, now = ProbeRoutes(tmp_path), time.time()
    announce(tmp_path, 4711, 10**6)
    assert routes.catalog() is not None
    monkeypatch.setattr(probe_routes.time, "time", lambda: now + SECONDS_MAX + 1)
    assert routes.catalog() is None
    monkeypatch.setattr(probe_routes.time, "time", lambda: now - 60)  # nobody's end is that far away
    assert routes.catalog() is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "not JSON",
        '{"port": 4711}',
        '{"port": 0, "until": 9e12}',
        '{"port": 65536, "until": 9e12}',
        '{"port": "x", "until": 1}',
        json.dumps({"port": 4711, "until": 9e12}),
        '{"port": 4711, "until": ' + "1" * 300 + "}",
    ],
)
def test_a_file_that_says_something_else_opens_nothing(tmp_path: Path, text: str) -> None:
    file = tmp_path / FILE
    file.write_text(text)
    file.chmod(0o600)
    assert ProbeRoutes(tmp_path).catalog() is None


def test_a_file_of_somebody_else_opens_nothing(tmp_path: Path) -> None:
    announce(tmp_path, 4711, 60)
    file = tmp_path / FILE
    file.chmod(0o640)
    assert ProbeRoutes(tmp_path).catalog() is None
    file.chmod(0o600)
    assert ProbeRoutes(tmp_path).catalog() is not None
    moved = file.rename(tmp_path / "moved")
    file.symlink_to(moved)
    assert ProbeRoutes(tmp_path).catalog() is None
    file.unlink()
    os.mkfifo(file, 0o600)
    assert ProbeRoutes(tmp_path).catalog() is None


def test_the_operators_catalog_never_has_them() -> None:
    shipped = Catalog.load(None, production=False, allow_insecure=False, simulator_url="http://127.0.0.1:9")
    assert not [model.id for model in shipped.models if model.id.startswith("probe/")]
    assert {endpoint for endpoint in Endpoint} == set(ENDPOINT_DIALECT)
