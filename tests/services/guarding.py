"""The guard in this process, as the service installs it, with a request in flight whose prompt the test knows."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from governance.bodies.body import Body
from governance.bodies.fragments import Watch
from governance.bodies.guards import Guard, installed
from governance.bodies.known import Known

PROMPT = "Dear doctor, since Tuesday my left knee makes a sound like a kettle, and my wife says it whistles in B flat."


@cache
def words() -> Known:
    return Known(("governance", "policies", "reports", "router"))


def body(*contents: str) -> Body:
    return Body(json.dumps({"messages": [{"role": "user", "content": each} for each in contents]}).encode())


@contextmanager
def guarding(*contents: str) -> Iterator[Guard]:
    """The usual prompt is in flight, and these beside it."""
    with installed(Guard(Watch(), words())) as guard:
        guard.watch.hold(body(PROMPT, *contents))
        yield guard
