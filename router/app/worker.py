"""`python -m router.app.worker DESCRIPTOR`: one worker of the supervisor."""

import gc
import sys

# What is imported stays: to look for garbage in it meanwhile takes a quarter of the time to start.
gc.disable()

from router.app.serving import worker  # noqa: E402

gc.enable()

if __name__ == "__main__":
    sys.exit(worker(int(sys.argv[1])))
