"""Whole runs: our own service is clean; a gateway that leaks is caught, each leak with its place and origin; and void runs."""

import json
from pathlib import Path

import pytest

from governance.errors import ConfigurationError
from router.probe import run
from router.probe.case import only
from router.probe.result import Found, Result, Verdict
from tests.router.probe.conftest import Toy

SAMPLE = (
    *("/good", "chat/400 as JSON", "chat-stream/500 as text", "messages/cut", "generate/hang", "chat/a redirect"),
    *("chat/field tool arguments", "chat/field image data URL", "openai/header user-agent", "openai/invalid UTF-8"),
    *("chat/without Credits", "chat/rate-limited", "openai/bad key", "openai/multipart", "chat-stream/caller leaves"),
    *("account API/POST /v1/account/sign-in", "portal/POST /portal/sign-in", "openai/duplicate keys", "for OpenAI"),
)
TOY = run.Options(
    shared=False, cases=only(["chat/good", "messages/good", "chat/500 as JSON", "header user-agent", "a redirect"])
)


def canaries(found: list[Found]) -> set[str]:
    return {each.canary for each in found}


def at(result: Result, path: Path) -> list[Found]:
    return [found for found in result.findings if found.place.startswith(str(path))]


async def test_our_own_service_keeps_nothing_and_says_what_that_rests_on() -> None:
    result = await run.probe_own(run.Options(shared=False, cases=only(SAMPLE)))
    assert (result.verdict, result.reasons) == (Verdict.CLEAN, ())
    assert result.carried == {"openai": True, "anthropic": True, "google": True}
    assert result.outcomes["answered"] >= 20 and result.outcomes["refused"] >= 10 and result.outcomes["the caller left"]
    assert result.cases == sum(result.outcomes.values()) and result.canaries > result.cases
    assert result.control.planted and result.bytes_read > 500_000 and result.files > 10
    assert result.seen_by_others == {}
    assert json.dumps(result.as_json())


async def probe(toy: Toy) -> Result:
    return await run.probe_target(toy.target(), TOY, upstream_port=toy.upstream_port, hang_s=1.0, settles_s=2.0)


async def test_a_gateway_that_keeps_nothing_is_clean(toy: Toy) -> None:
    result = await probe(toy)
    assert (result.verdict, result.reasons, result.findings) == (Verdict.CLEAN, (), ())


@pytest.mark.parametrize("toy", [("gzip-log",)], indirect=True)
async def test_a_compressed_log_of_bodies_is_a_leak(toy: Toy) -> None:
    result = await probe(toy)
    found = at(result, toy.home / "bodies.log.gz")
    assert result.verdict is Verdict.LEAK and canaries(list(result.findings)) == canaries(found)
    assert {"chat/good/prompt/content", "messages/good/prompt/content"} <= canaries(found)
    assert all("gzip" in each.form and each.matched > 50 for each in found)


@pytest.mark.parametrize("toy", [("error-rows",)], indirect=True)
async def test_an_error_text_kept_in_a_row_is_a_leak_of_the_prompt_and_of_the_error(toy: Toy) -> None:
    result = await probe(toy)
    assert result.verdict is Verdict.LEAK
    assert {"chat/500 as JSON/prompt/content", "chat/500 as JSON/completion/text"} <= canaries(list(result.findings))
    assert not any(name.startswith("chat/good/") for name in canaries(list(result.findings)))
    assert {Path(each.place.split(" ")[0]).name.split("-")[0] for each in result.findings} == {"gateway.db"}


@pytest.mark.parametrize("toy", [("temp-files",)], indirect=True)
async def test_spooled_bodies_are_a_leak(toy: Toy) -> None:
    result = await probe(toy)
    assert result.verdict is Verdict.LEAK
    assert {"chat/good/prompt/content", "chat/a redirect/prompt/content"} <= canaries(at(result, toy.home / "spool-"))


@pytest.mark.parametrize("toy", [("printed-heads",)], indirect=True)
async def test_a_user_agent_in_clear_is_a_leak_of_that_alone(toy: Toy) -> None:
    result = await probe(toy)
    assert result.verdict is Verdict.LEAK
    assert canaries(list(result.findings)) == {
        f"{wire}/header user-agent/metadata/header user-agent" for wire in ("openai", "anthropic")
    }
    assert {found.place for found in result.findings} == {str(toy.home / "printed.log")}


@pytest.mark.parametrize("toy", [("redirects",)], indirect=True)
async def test_a_redirect_that_is_followed_is_told_and_is_no_leak_at_rest(toy: Toy) -> None:
    result = await probe(toy)
    assert result.verdict is Verdict.CLEAN
    assert result.seen_by_others == {"redirects followed with the prompt": 4}


async def test_a_gateway_that_never_reaches_the_upstream_is_void(toy: Toy) -> None:
    """Its upstream is another port: whatever the search says, no prompt went through."""
    toy.upstream_port = run.own._free_port()
    result = await probe(toy)
    assert result.verdict is Verdict.VOID and result.findings == ()
    assert sum("never carried a prompt" in reason for reason in result.reasons) == 2


async def test_nothing_to_look_through_is_void_or_refused(toy: Toy) -> None:
    target = toy.target()
    nowhere = type(target)(url=target.url, lanes=target.lanes, keys=target.keys, patience_s=5.0)
    result = await run.probe_target(nowhere, TOY, upstream_port=toy.upstream_port, hang_s=1.0)
    assert result.verdict is Verdict.VOID and "Nothing could be searched" in result.reasons[0]
    with pytest.raises(ConfigurationError, match="nothing at"):
        missing = type(target)(url=target.url, lanes=target.lanes, keys=target.keys, look=(toy.home / "no",))
        await run.probe_target(missing, TOY, upstream_port=toy.upstream_port)


async def test_a_port_that_is_taken_is_said(toy: Toy) -> None:
    with pytest.raises(ConfigurationError, match=f"Port {toy.port}"):
        await run.probe_target(toy.target(), TOY, upstream_port=toy.port)
