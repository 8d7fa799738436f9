"""What reaches standard output: our own words, and of libraries only who and how bad."""

import subprocess
import sys

PROGRAM = """
import asyncio, logging, warnings
from router.app.logs import configure
configure()
logging.getLogger("httpx2").error("sent %s", "kanarie")
logging.getLogger("httpx2").debug("kanarie")
try:
    raise ValueError("kanarie")
except ValueError:
    logging.getLogger("some.library").exception("failed on kanarie")
warnings.warn("kanarie")
async def main():
    async def bad():
        raise ValueError("kanarie")
    task = asyncio.ensure_future(bad())
    await asyncio.sleep(0)
    del task
asyncio.run(main())
import structlog
structlog.get_logger("gateway").error("internal error", type="ValueError", exc_info=ValueError("kanarie"))
logging.getLogger("uvicorn.error").error("own words")
"""


def test_no_librarys_words_are_printed() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert "kanarie" not in done.stdout + done.stderr
    assert '"type": "ValueError"' in done.stdout and "some.library" in done.stdout and "own words" in done.stdout
