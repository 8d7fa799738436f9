"""A process on the key channel, for tests: `python -m tests.governance.vault.channel_process ROLE URL RUN_FOLDER [N]`.

`hold` looks at the generation all the time. It prints `up` once it has one, and when its input ends a JSON object: for
each generation that it saw, the time of the last look that saw it. `announce` announces N times and prints a JSON list
of `[generation, time it was returned]`. Times are CLOCK_MONOTONIC in ns, one for all processes of the machine.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

from governance.vault.channel import Channel, open_channel

LOOKS = 50  # between two turns of the event loop


async def hold(channel: Channel) -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, ended.set)
    await channel.start()
    seen: dict[int, int] = {}
    while not ended.is_set():
        for _ in range(LOOKS):
            now = time.monotonic_ns()  # before the look: what it saw was the case then or later
            generation = channel.generation()
            if generation is not None:
                if not seen:
                    print("up", flush=True)
                seen[generation] = now
        await asyncio.sleep(0.001)
    await channel.aclose()
    print(json.dumps(seen), flush=True)


async def announce(channel: Channel, times: int) -> None:
    made = []
    for _ in range(times):
        generation = await channel.announce()
        made.append([generation, time.monotonic_ns()])
    print(json.dumps(made), flush=True)


if __name__ == "__main__":
    role, url, folder, *rest = sys.argv[1:]
    opened = open_channel(url, Path(folder))
    asyncio.run(hold(opened) if role == "hold" else announce(opened, int(rest[0])))
