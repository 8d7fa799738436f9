"""What the guard costs: at registration, at a sink that is not in doubt, at one that is, and in memory.

100 requests are in flight. A value is in doubt when it has 32 bytes and nothing else says that it is known; what such a
check costs doesn't depend on how many bodies are watched. Indexing happens once a body, and only where a value is in
doubt while the body is watched.
"""

import json
import os
import random
import time
import tracemalloc
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from governance import sinks
from governance.bodies import fragments
from governance.bodies.body import Body
from governance.bodies.fragments import Watch
from governance.bodies.guards import Guard, installed
from governance.bodies.known import Known
from governance.ids import uuid7
from governance.sinks import Sink

ROUNDS, IN_FLIGHT = 7, 100
_WORDS = [f"w{number:x}{'aeiou'[number % 5]}" for number in range(5000)]
PACKAGES = ("governance", "policies", "reports", "router")


def body(size: int) -> Body:
    text = " ".join(random.choices(_WORDS, k=size // 5))[:size]
    return Body(json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode())


def cpu_us(work: Callable[[], object], times: int) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        begun = time.process_time_ns()
        for _ in range(times):
            work()
        best = min(best, (time.process_time_ns() - begun) / times / 1000)
    return best


def request(watched: Watch | None) -> float:
    """What a request adds: held, sent on, 30 pieces of an answer."""
    made, piece = body(1000), b'data: {"choices":[{"index":0,"delta":{"content":"word "}}]}\n\n'

    def serve() -> None:
        with fragments.held(made), sinks.given(lambda: ("192.0.2.1", "agent")):
            fragments.sent(made)
            for _ in range(30):
                fragments.answered(piece)

    fragments.watch_with(watched)
    try:
        return cpu_us(serve, 2000)
    finally:
        fragments.watch_with(None)


def sink(size: int, known: Known) -> dict[str, float]:
    """Checks with 100 bodies of `size` bytes in flight."""
    guard = Guard(Watch(), known)
    bodies = [body(size) for _ in range(IN_FLIGHT)]
    held = [guard.watch.hold(each) for each in bodies]
    begun = time.process_time_ns()
    guard.watch.find(b"a value that is in no body, of more than thirty-two bytes")
    indexing = (time.process_time_ns() - begun) / 1000 / IN_FLIGHT
    other = Watch()
    tracemalloc.start()
    again = [other.hold(each) for each in bodies]
    other.find(b"a value that is in no body, of more than thirty-two bytes")
    grown = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    text = " ".join(random.choices(_WORDS, k=60))[:200].upper()
    short, one, noise = "completed", str(uuid7()), os.urandom(150)
    with installed(guard):
        out = {
            "a short value": cpu_us(lambda: sinks.withholds(Sink.SQL, short), 20_000),
            "an id": cpu_us(lambda: sinks.withholds(Sink.SQL, one), 5000),
            "a sealed envelope, 150 bytes": cpu_us(lambda: sinks.withholds(Sink.SQL, noise), 2000),
            "a text in doubt, 200 bytes": cpu_us(lambda: sinks.withholds(Sink.LOG, text), 1000),
            "indexing, once a body": indexing,
            "memory of index and texts, KiB": grown / 1024,
        }
    del held, again
    return out


def main() -> None:
    known = Known(PACKAGES)
    console = Console()
    bare, watched = request(None), request(Watch())
    shown = Table("what", "us", title="One request, 30 pieces of answer, CPU", title_justify="left")
    shown.add_row("guard off", f"{bare:.1f}")
    shown.add_row("guard on", f"{watched:.1f}")
    shown.add_row("added", f"{watched - bare:.1f}")
    console.print(shown)
    small, large = sink(1000, known), sink(100_000, known)
    shown = Table(
        "what", "1 KB", "100 KB", title="One value at a sink, 100 bodies in flight, CPU us", title_justify="left"
    )
    for name in small:
        shown.add_row(name, f"{small[name]:.2f}", f"{large[name]:.2f}")
    console.print(shown)


if __name__ == "__main__":
    main()
