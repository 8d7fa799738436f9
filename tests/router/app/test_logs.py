"""What reaches standard output: our own words, and of libraries only who and how bad."""

import json
import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import asyncio, logging, sys, warnings
from governance.bodies.body import Body
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
# An operator who wants to know it all, and a library with a handler of its own.
logging.getLogger().setLevel(logging.DEBUG)
for name in ("httpx2", "urllib3.connectionpool", "openai", "uvicorn.error"):
    logging.getLogger(name).setLevel(logging.DEBUG)
    logging.getLogger(name).addHandler(logging.StreamHandler(sys.stdout))
    logging.getLogger(name).debug("sent %s", "kanarie", extra={"note": 1})
    logging.getLogger(name).error(ValueError("kanarie"))
    logging.getLogger(name).error("failed", exc_info=ValueError("kanarie"), stack_info=True)
class Own:
    def __repr__(self):
        return "kanarie"
structlog.get_logger("gateway").info(
    "got", error=ValueError("kanarie"), several=["kanarie"], data=b"kanarie", own=Own(), by={"kanarie": 1},
    body=Body(b"kanarie"), count=3,
)
"""


def test_no_librarys_words_are_printed() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert "kanarie" not in done.stdout + done.stderr
    assert "<Body 7 bytes #" in done.stdout and '"count": 3' in done.stdout and '"error": "<ValueError>"' in done.stdout
    assert '"type": "ValueError"' in done.stdout and "some.library" in done.stdout and "own words" in done.stdout


def test_a_line_that_holds_a_fragment_of_a_body_loses_that_field(tmp_path: Path) -> None:
    program = """
import logging, structlog
from router.app.logs import configure
configure()
from tests.services.guarding import PROMPT, guarding
log = structlog.get_logger("planted")
with guarding() as guard:
    log.info(PROMPT)
    log.warning("failed", type="ValueError", error=str(ValueError(PROMPT)), count=3)
    log.info("nested", detail={"a": [1, {"b": PROMPT[:50]}]}, raw=PROMPT.encode(), cause=ValueError(PROMPT))
    logging.getLogger("uvicorn.error").error(PROMPT)
    logging.getLogger("valueapi").error("own words, and more of them than thirty-two bytes")
    log.info("clean", note="a note of ours that is long enough to be looked at")
    assert len(guard.places) == 4, guard.places
"""
    file = tmp_path / "planted.py"
    file.write_text(program)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run([sys.executable, file], capture_output=True, text=True, env=environment, check=True)
    assert "knee" not in done.stdout + done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["event"] for line in lines] == ["[withheld]", "failed", "nested", "library", "library", "clean"]
    assert (lines[1]["error"], lines[1]["count"], lines[1]["type"]) == ("[withheld]", 3, "ValueError")
    assert {lines[2][name] for name in ("detail", "raw", "cause")} == {"[withheld]"}
    assert lines[3]["text"] == "[withheld]" and lines[4]["text"].startswith("own words")
    assert lines[5]["note"] == "a note of ours that is long enough to be looked at"


def test_a_fields_name_and_nested_lists_are_looked_at() -> None:
    from router.app.logs import _screened
    from tests.services.guarding import PROMPT, guarding

    with guarding():
        line = _screened(None, "info", {"event": "x", PROMPT: 1, "many": [[{"a": PROMPT}]], "fine": 2})
    assert line == {"event": "x", "[withheld]": 1, "many": "[withheld]", "fine": 2}
