"""Policies as anybody reads them: word for word, at an address that stays, with what changed and a feed."""

import html
import re
from pathlib import Path
from xml.etree import ElementTree as xml

import pytest

from policies import version, versions
from policies.retention import IN_FORCE
from router.surface import DOCUMENTS
from tests.policies.conftest import Made, made  # noqa: F401  a fixture
from tests.router.web.running import Running

pytestmark = pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
POLICY = Path(__file__).parents[3] / "policies" / "privacy" / "2026-03" / "policy.md"
_ATOM = "{http://www.w3.org/2005/Atom}"


async def seeded(web: Running, *folders: Path) -> None:
    await versions.seed(web.context.data, [*versions.shipped(), *map(version.read, folders)])


async def test_every_sentence_is_shown_with_an_anchor(web: Running) -> None:
    await seeded(web)
    async with web.client() as client:
        answer = await client.get("/privacy")
        assert answer.status_code == 200 and answer.headers["cache-control"] == "public, max-age=300"
        assert "noindex" not in answer.text and "SHA-256" in answer.text
        shown = dict(re.findall(r'<span id="([\d.]+)">(.*?)</span>', answer.text))
        text = {each.id: each.text for section in version.read(IN_FORCE).sections for each in section.sentences}
        assert {name: html.unescape(words) for name, words in shown.items()} == text
        assert (await client.head("/privacy")).content == b""
        assert (await client.get("/privacy/2026-03")).status_code == 200


async def test_an_earlier_version_says_that_it_is_one(web: Running, made: Made) -> None:  # noqa: F811
    await seeded(web, made("2026-10", {"We do NOT store": "We never store"}))
    async with web.client() as client:
        assert "We never store the content" in (await client.get("/privacy")).text
        old = (await client.get("/privacy/2026-03")).text
        assert "isn’t the one in force" in old.replace("'", "’") and "We do NOT store the content" in old
        changes = (await client.get("/privacy/2026-10/changes/2026-03")).text
        assert "<del>do NOT</del><ins>never</ins>" in changes and "sentences unchanged" in changes
        listed = (await client.get("/privacy/history")).text
        assert listed.index("2026-10") < listed.index("Superseded") and listed.count("SHA-256:") == 2
        feed = xml.fromstring((await client.get("/privacy/feed.atom")).content)
        assert [entry.findtext(f"{_ATOM}title") for entry in feed.iter(f"{_ATOM}entry")] == [
            "Privacy Policy, version 2026-10", "Privacy Policy, version 2026-03",
        ]  # fmt: skip


async def test_what_isnt_there_is_said_plainly(web: Running) -> None:
    await seeded(web)
    async with web.client() as client:
        for path in (
            "/terms",
            "/cookies",
            "/acceptable-use",
            "/privacy/1999-01",
            "/privacy/%00",
            "/privacy/2026-03/changes/1999-01",
            "/privacy/%C3%A9/changes/%0a",
        ):
            answer = await client.get(path)
            assert answer.status_code == 404 and answer.headers["content-type"].startswith("text/html"), path
        for pages in DOCUMENTS.values():
            assert (await client.get(str(pages.HISTORY))).status_code == 200
            assert (await client.get(str(pages.FEED))).headers["content-type"].startswith("application/atom+xml")
        assert (await client.post("/privacy")).status_code == 405


async def test_global_privacy_control_is_announced(web: Running) -> None:
    async with web.client() as client:
        answer = await client.get("/.well-known/gpc.json")
    assert answer.json()["gpc"] is True and answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("headers", "gpc", "dnt"),
    [
        ([], False, False),
        ([("Sec-GPC", "1")], True, False),
        ([("DNT", "1"), ("sec-gpc", "1")], True, True),
        ([("Sec-GPC", "0"), ("DNT", "0")], False, False),
        ([("Sec-GPC", "true")], False, False),
        ([("Sec-GPC", "1, 1")], False, False),
        ([("Sec-GPC", "1"), ("Sec-GPC", "1")], False, False),
    ],
)
async def test_what_was_understood_of_the_signals_is_said(
    web: Running, headers: list[tuple[str, str]], gpc: bool, dnt: bool
) -> None:
    async with web.client() as client:
        answer = await client.get("/v1/privacy/signals", headers=headers)
    assert answer.json() == {"gpc": gpc, "do_not_track": dnt}
    assert answer.headers["cache-control"] == "no-store" and answer.headers["vary"] == "Sec-GPC, DNT"
