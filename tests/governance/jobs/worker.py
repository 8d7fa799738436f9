"""A process that may lead, for tests: `python -m tests.governance.jobs.worker DATA_URL RUN_FOLDER FILE SECONDS`.

Its one job appends a line to FILE, `begin PID`, and after SECONDS `end PID`.
"""

import asyncio
import os
import sys
from pathlib import Path

from governance.db import Database
from governance.jobs.leader import leader_of
from governance.jobs.scheduler import Job, Jobs
from governance.period import Period


async def main(url: str, folder: str, file: str, seconds: str) -> None:
    def say(word: str) -> None:
        with Path(file).open("a") as out:
            out.write(f"{word} {os.getpid()}\n")

    async def job() -> None:
        say("begin")
        await asyncio.sleep(float(seconds))
        say("end")

    jobs = Jobs(Database(url), leader_of(url, Path(folder)), [Job("job", Period.parse("PT1H"), job)], tick_s=0.05)
    await jobs.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
