"""`python -m router.providers.simulator --port P [--host 127.0.0.1] [--gap-ms 20]`"""

import argparse
import sys

from router.providers.simulator.faults import FAULTS
from router.providers.simulator.server import run


def main() -> None:
    """Serve until interrupted; `--faults` lists the fault modes instead."""
    parser = argparse.ArgumentParser(prog="python -m router.providers.simulator", description="A local upstream.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8101)
    parser.add_argument("--gap-ms", type=int, default=0, help="pause between the events of a stream")
    parser.add_argument("--faults", action="store_true", help="list the fault modes and end")
    given = parser.parse_args()
    if given.faults:
        for name, meaning in FAULTS.items():
            sys.stdout.write(f"{name:16} {meaning}\n")
        return
    sys.stdout.write(f"simulator on http://{given.host}:{given.port}\n")
    sys.stdout.flush()
    run(given.host, given.port, gap_ms=given.gap_ms)


if __name__ == "__main__":
    main()
