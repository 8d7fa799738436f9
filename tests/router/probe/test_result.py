"""Verdicts: what is void, what is a leak, and that neither hides behind the other."""

from typing import Any

import pytest

from governance.bodies.verdict import Verdict
from router.probe.result import Control, Descriptor, Found, Gap, judge, outcomes
from router.probe.sender import Outcome

GOOD: dict[str, Any] = {
    "control": Control(10, (), 9), "carried": {"openai": True}, "findings": (), "unread": (), "traced": (),
    "named_bytes": 1, "ended": {},
}  # fmt: skip
FOUND = Found("chat/good/prompt/content", "/home/log", "gzip > text", 12, 55, "running")
FILE, CALLER = Descriptor("file", "/home/log", 3, False), Descriptor("socket", "callers", 3, True)


@pytest.mark.parametrize(
    "given, verdict, word",
    [
        ({}, Verdict.CLEAN, ""),
        ({"unread": (Gap("/proc/1/fd", "not allowed"),)}, Verdict.CLEAN, ""),
        ({"traced": (CALLER,)}, Verdict.CLEAN, ""),
        ({"findings": (FOUND,)}, Verdict.LEAK, "1 places"),
        ({"traced": (CALLER, FILE)}, Verdict.LEAK, "1 descriptors"),
        ({"control": Control(10, ("zstd in a WAL",), 9)}, Verdict.VOID, "missed 1 of 10"),
        ({"control": Control(0, ())}, Verdict.VOID, "no positive control"),
        ({"carried": {"openai": True, "anthropic": False}}, Verdict.VOID, "never carried a prompt on the anthropic"),
        ({"carried": {"google": False}, "ended": {"google": {"504": 2}}}, Verdict.VOID, "(2 ended with 504)"),
        ({"carried": {}}, Verdict.VOID, "No case"),
        (
            {"control": Control(10, (), 9, ("seed",))},
            Verdict.VOID,
            "The search of this run missed 1 of 9 that were seeded",
        ),
        ({"control": Control(10, ())}, Verdict.VOID, "Nothing was seeded"),
        ({"named_bytes": 0}, Verdict.VOID, "Nothing of the gateway's could be searched"),
        ({"unfollowed": ("strace ended.",)}, Verdict.VOID, "strace ended."),
        ({"unread": (Gap("/home/log", "not allowed", fatal=True),)}, Verdict.VOID, "/home/log could not be searched"),
        ({"control": Control(10, ("hex",), 9), "findings": (FOUND,)}, Verdict.VOID, "came to rest"),
    ],
)
def test_the_verdict(given: dict[str, Any], verdict: Verdict, word: str) -> None:
    said, reasons = judge(**{**GOOD, **given})
    assert said is verdict
    assert (word in " ".join(reasons)) if word else reasons == ()


def test_outcomes_are_counted_by_what_became_of_them() -> None:
    sent = [
        Outcome("a", 200, "ended", True),
        Outcome("b", 200, "ended", False),
        Outcome("c", 404, "ended", False),
        Outcome("d", 502, "ended", False),
        Outcome("e", None, "ended", False),
        Outcome("f", None, "no end in time", False),
        Outcome("g", 200, "left", False),
        Outcome("h", 307, "ended", False),
    ]
    assert outcomes(sent) == dict.fromkeys(
        (
            *("another answer", "answered", "closed without an answer", "failed", "no end in time", "redirected"),
            *("refused", "the caller left"),
        ),
        1,
    )
