"""`python -m router.app.worker DESCRIPTOR`: one worker of the supervisor."""

import sys

from router.app.serving import worker

if __name__ == "__main__":
    sys.exit(worker(int(sys.argv[1])))
