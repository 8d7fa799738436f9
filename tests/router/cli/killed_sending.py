"""A process that is killed within `incidents send`, once a number of notices are queued."""

import os
import signal
import sys
from typing import Any, NoReturn

from governance.incidents import telling
from router.cli.main import command_line


def main(incident_id: str, after: int) -> NoReturn:
    tell, queued = telling.tell, 0

    async def tell_and_die(*args: Any, **options: Any) -> bool:
        nonlocal queued
        done = await tell(*args, **options)
        queued += done
        if queued == after:
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    telling.tell = tell_and_die  # type: ignore[assignment]
    command_line()(["incidents", "send", incident_id, "--by", "legal", "--yes"])
    raise AssertionError


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
