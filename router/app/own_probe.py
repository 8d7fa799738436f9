"""The probe as the running service is given it: a few cases through each endpoint and the main ways to fail, and a search
of what changed since it began. `valueapi probe` sends the whole matrix through an instance of its own.
"""

import socket
from typing import Final

from governance.bodies.probe_run import Result
from governance.bodies.verdict import Verdict
from router.app.self_probe import Running
from router.probe import run
from router.probe.case import Credential
from router.probe.cases.lanes import lanes
from router.probe.result import Result as Probed
from router.probe.target import Target
from router.providers.probe_catalog import model_id
from router.surface import Dialect, Endpoint

_FAILING: Final = frozenset({"chat", "chat-stream", "messages-stream", "generate"})
_FAULTS: Final = frozenset(
    {
        *("400 as JSON", "401 as JSON", "429 as JSON", "500 as HTML", "503 as text", "malformed JSON"),
        *("HTML with status 200", "an error event", "a malformed event", "cut", "reset", "a redirect", "invalid UTF-8"),
        *("caller leaves while it waits (hang)", "caller leaves within the answer (slow)"),
    }
)
_FIELDS: Final = frozenset(
    f"field {name}"
    for name in (
        "unknown field",
        "model",
        "user",
        "metadata",
        "stop sequences",
        "tool arguments",
        "tool result",
        "image data URL",
    )
)
_HEADS: Final = frozenset(
    {
        *(
            "header user-agent",
            "header x-forwarded-for",
            "query",
            "no key",
            "bad key",
            "invalid JSON",
            "duplicate keys",
        ),
        *("invalid UTF-8", "multipart", "an unknown path"),
    }
)
_SLACK_S: Final = 1.0  # a file system's times may be coarser than the clock
_HANG_S: Final = 2.0
_SETTLES_S: Final = 5.0
_PATIENCE_S: Final = 60.0


def keeps(name: str) -> bool:
    """Whether a case of the matrix is among the few."""
    lane, _, what = name.partition("/")
    if what == "good":
        return True
    if lane in _FAILING:
        return what in _FAULTS or (lane == "chat" and what in _FIELDS)
    return lane == Dialect.OPENAI and what in _HEADS


async def probe(running: Running) -> Result:
    """One run against the service. Raises ConfigurationError where the upstream's port is taken meanwhile."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    running.announce(port)
    asked = [lane for dialect in Dialect for lane in lanes(dialect, model_id(dialect))]
    # Translated on its way: asked on one wire, answered on another.
    asked += lanes(Dialect.OPENAI, model_id(Dialect.ANTHROPIC), (Endpoint.CHAT,), "translated-")
    target = Target(
        url=running.url,
        lanes=tuple(asked),
        keys={Credential.GOOD: running.key},
        pids=running.pids,
        look=running.look,
        postgres=running.postgres,
        redis=running.redis,
        patience_s=_PATIENCE_S,
        changed_since=running.began.timestamp() - _SLACK_S,
        tls=running.tls,
        own=True,
    )
    options = run.Options(cases=keeps, shared=False, scratch=running.scratch)
    found = await run.probe_target(target, options, upstream_port=port, hang_s=_HANG_S, settles_s=_SETTLES_S)
    return _result(found, running)


def _result(found: Probed, running: Running) -> Result:
    """As it is kept: places below the home by their place in it."""
    # A leak is one, whatever else the run failed to show.
    verdict = Verdict.LEAK if found.findings else found.verdict
    searched = ["what changed in the home's folders"]
    unread = [f"{_shown(gap.place, running)}: {gap.why}" for gap in found.unread]
    if running.pids and not any(gap.place.startswith("process ") for gap in found.unread):
        searched.append("what its processes hold open")
    elif not running.pids:
        unread.append("the service's processes: they can't be looked at from here")
    searched += ["PostgreSQL by SQL"] if running.postgres else []
    searched += ["Redis"] if running.redis else []
    return Result(
        verdict=verdict,
        started=found.started,
        ended=found.ended,
        cases=found.cases,
        canaries=found.canaries,
        planted=found.control.planted + found.control.seeded,
        missed=(*found.control.missed, *found.control.seeded_missed),
        findings=tuple(f"{each.canary} in {_shown(each.place, running)} ({each.form})" for each in found.findings),
        unread=tuple(unread),
        searched=tuple(searched),
        bytes_read=found.bytes_read,
        why=" ".join(found.reasons) if verdict is Verdict.VOID else "",
    )


def _shown(place: str, running: Running) -> str:
    shown = place.replace(str(running.home), "home")
    for number, url in enumerate((*running.postgres, *running.redis), 1):
        shown = shown.replace(url, f"store {number}")  # an address may hold a password
    return shown
