"""Whole runs: our own service is clean; a gateway that leaks is caught, each leak with its place and origin; and void runs."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from governance.bodies.scanner import decode, files
from governance.bodies.verdict import Verdict
from governance.errors import ConfigurationError
from router.probe import run
from router.probe.case import only
from router.probe.result import Found, Result
from tests.router.probe.conftest import Toy

SAMPLE = (
    *("/good", "chat/400 as JSON", "chat-stream/500 as text", "messages/cut", "generate/hang", "chat/a redirect"),
    *("chat/field tool arguments", "chat/field image data URL", "openai/header user-agent", "openai/invalid UTF-8"),
    *("chat/without Credits", "chat/rate-limited", "openai/bad key", "openai/multipart", "chat-stream/caller leaves"),
    *(
        "account API/POST /v1/account/sign-in",
        "portal/POST /portal/sign-in",
        "openai/duplicate keys",
        "for OpenAI, messages-stream/500 as HTML",
    ),
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
    assert result.control.seeded >= 8 and result.control.seeded_missed == ()
    assert result.control.planted and result.bytes_read > 500_000 and result.files > 10
    assert result.seen_by_others == {}
    assert json.dumps(result.as_json())


async def probe(toy: Toy) -> Result:
    return await run.probe_target(toy.target(), TOY, upstream_port=toy.upstream_port, hang_s=1.0, settles_s=0)


async def test_a_gateway_that_keeps_nothing_is_clean(toy: Toy) -> None:
    result = await probe(toy)
    assert (result.verdict, result.reasons, result.findings) == (Verdict.CLEAN, (), ())


@pytest.mark.parametrize("toy", [("gzip-log", "error-rows", "temp-files", "printed-heads")], indirect=True)
async def test_each_leak_is_found_at_its_place_with_what_leaked(toy: Toy) -> None:
    result = await probe(toy)
    assert result.verdict is Verdict.LEAK
    log = at(result, toy.home / "bodies.log.gz")
    assert {"chat/good/prompt/content", "messages/good/prompt/content"} <= canaries(log)
    assert all("gzip" in each.form and each.matched > 50 for each in log)
    # Error rows hold the prompt and the upstream's own words, of what failed alone.
    rows = canaries(at(result, toy.home / "gateway.db"))
    assert {"chat/500 as JSON/prompt/content", "chat/500 as JSON/completion/text"} <= rows
    assert not any(name.startswith("chat/good/") for name in rows)
    spooled = canaries(at(result, toy.home / "spool-"))
    assert {"chat/good/prompt/content", "chat/a redirect/prompt/content"} <= spooled
    # What it prints has the user agent, and nothing else.
    assert canaries(at(result, toy.home / "printed.log")) == {
        f"{wire}/header user-agent/metadata/header user-agent" for wire in ("openai", "anthropic")
    }


async def test_a_traced_gateway_answers_its_callers_and_writes_nothing_else(toy: Toy) -> None:
    options = replace(TOY, trace=True, cases=only(["chat/good", "messages/good"]))
    result = await run.probe_target(toy.target(), options, upstream_port=toy.upstream_port, settles_s=0)
    assert (result.verdict, result.reasons) == (Verdict.CLEAN, ())
    assert result.traced is not None and {each.name for each in result.traced} == {"callers", "upstream"}


async def test_a_trace_of_a_process_that_answers_nobody_is_void(toy: Toy) -> None:
    options = replace(TOY, trace=True, cases=only(["chat/good", "messages/good"]))
    with subprocess.Popen(["sleep", "60"]) as other:
        target = replace(toy.target(), pids=(other.pid,))
        result = await run.probe_target(target, options, upstream_port=toy.upstream_port, settles_s=0)
        other.kill()
    assert result.verdict is Verdict.VOID and ["no canary on its way" in each for each in result.reasons] == [True]


@pytest.mark.parametrize("toy", [("late-log",)], indirect=True)
async def test_a_buffer_that_is_written_late_is_waited_for(toy: Toy) -> None:
    options = replace(TOY, cases=only(["chat/good", "messages/good"]))
    result = await run.probe_target(toy.target(), options, upstream_port=toy.upstream_port, settles_s=4.0)
    assert "chat/good/prompt/content" in canaries(at(result, toy.home / "late.log"))


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
    assert all("ended with 502)" in reason for reason in result.reasons)


@pytest.mark.parametrize("toy", [("stalls",)], indirect=True)
async def test_a_stall_at_the_beginning_voids_no_run(toy: Toy) -> None:
    """All of a small sample is under way at once, and gets no answer: the plain cases are sent again."""
    options = replace(TOY, cases=only(["chat/good", "messages/good"]))
    result = await run.probe_target(toy.target(), options, upstream_port=toy.upstream_port, settles_s=0)
    assert (result.verdict, result.reasons) == (Verdict.CLEAN, ())
    assert result.cases == sum(result.outcomes.values()) == 2


async def test_a_run_whose_control_isnt_found_is_void(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scanner has forgotten how texts are escaped; nothing else about the run is wrong."""
    monkeypatch.setattr(decode, "unescaped", lambda data: data)
    result = await probe(toy)
    assert result.verdict is Verdict.VOID and all(result.carried.values())
    assert any("URL" in missed for missed in result.control.missed)
    assert result.reasons == (
        f"The positive control missed {len(result.control.missed)} of {result.control.planted}: what isn't found says nothing.",
    )


async def test_a_run_whose_own_search_reads_nothing_that_changed_is_void(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scanner's control is whole: it never looks by what changed, as a self-probe does."""
    whole = files.walk
    monkeypatch.setattr(files, "walk", lambda *a, since=None, **k: iter(()) if since else whole(*a, **k))
    target = replace(toy.target(), changed_since=1.0)
    result = await run.probe_target(target, TOY, upstream_port=toy.upstream_port, hang_s=1.0, settles_s=0)
    missed, seeded = result.control.seeded_missed, result.control.seeded
    assert result.control.missed == () and result.verdict is Verdict.VOID and len(missed) >= 6
    assert result.reasons == (
        f"The search of this run missed {len(missed)} of {seeded} that were seeded in its own places.",
    )
    assert not any("seed" in each.canary for each in result.findings)


async def test_a_place_that_was_named_and_cannot_be_read_is_void(toy: Toy) -> None:
    target = replace(toy.target(), redis=("unix:///nowhere/redis.sock",))
    result = await run.probe_target(target, TOY, upstream_port=toy.upstream_port, hang_s=1.0, settles_s=0)
    assert result.verdict is Verdict.VOID and "Redis could not be searched" in " ".join(result.reasons)


async def test_nothing_to_look_through_is_void_or_refused(toy: Toy) -> None:
    target = toy.target()
    nowhere = type(target)(url=target.url, lanes=target.lanes, keys=target.keys, patience_s=5.0)
    result = await run.probe_target(nowhere, TOY, upstream_port=toy.upstream_port, hang_s=1.0, settles_s=0)
    assert result.verdict is Verdict.VOID and "Nothing of the gateway's could be searched" in result.reasons[0]
    with pytest.raises(ConfigurationError, match="nothing at"):
        missing = type(target)(url=target.url, lanes=target.lanes, keys=target.keys, look=(toy.home / "no",))
        await run.probe_target(missing, TOY, upstream_port=toy.upstream_port)


async def test_a_port_that_is_taken_is_said(toy: Toy) -> None:
    with pytest.raises(ConfigurationError, match=f"Port {toy.port}"):
        await run.probe_target(toy.target(), TOY, upstream_port=toy.port)
