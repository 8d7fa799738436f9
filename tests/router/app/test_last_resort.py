"""What nobody caught, in a process of its own: by type and place, and nothing of what it holds."""

import subprocess
import sys

SECRET = "kanarie-of-the-prompt"
PLACES = {
    "main": "raise KeyError(secret.encode())",
    "thread": """
def work():
    raise KeyError(secret)
thread = threading.Thread(target=work, name=secret)
thread.start()
thread.join()
""",
    "finalizer": """
class Holder:
    def __repr__(self):
        return secret
    def __del__(self):
        raise KeyError(secret)
Holder()
""",
    "event loop, future": """
async def main():
    watch()
    async def bad(prompt):
        raise KeyError(prompt)
    task = asyncio.ensure_future(bad(secret))
    await asyncio.sleep(0.01)
    del task
    gc.collect()
asyncio.run(main(), debug=True)
""",
    "event loop, handle": """
async def main():
    watch()
    asyncio.get_running_loop().call_soon(lambda prompt, other: {}[prompt], secret, [secret])
    await asyncio.sleep(0.01)
asyncio.run(main(), debug=True)
""",
    "event loop, protocol": """
async def main():
    watch()
    class Bad(asyncio.Protocol):
        def data_received(self, data):
            raise KeyError(data)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Bad, "127.0.0.1", 0)
    _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(secret.encode())
    await asyncio.sleep(0.1)
asyncio.run(main())
""",
}
PROGRAM = """
import asyncio, gc, sys, threading, traceback, warnings
secret = sys.argv[1]
watch = lambda: None
if sys.argv[2] == "installed":
    from router.app import last_resort
    from router.app.logs import configure
    configure()
    last_resort.install()
    watch = lambda: last_resort.watch(asyncio.get_running_loop())
"""


def run(program: str, installed: bool) -> str:
    given = [sys.executable, "-c", PROGRAM + program, SECRET, "installed" if installed else "bare"]
    done = subprocess.run(given, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_type_and_place_are_told_and_nothing_else() -> None:
    everywhere = "".join(
        PLACES[where] for where in sorted(PLACES, key="main".__eq__)
    )  # the main thread's end is the last
    bare = run(everywhere, installed=False)
    assert bare.count(SECRET) >= len(PLACES) and bare.count("Traceback") >= len(
        PLACES
    )  # the interpreter tells by itself
    told = run(everywhere, installed=True)
    assert SECRET not in told and "Traceback" not in told
    for where in PLACES:
        assert f'"where": "{where}", "type": "KeyError", "place": "<string>:' in told


def test_a_warning_tells_its_category_alone() -> None:
    program = "warnings.warn(secret, RuntimeWarning)\n"
    assert SECRET in run(program, installed=False)
    told = run(program, installed=True)
    assert SECRET not in told and '"type": "RuntimeWarning", "place": "<string>:' in told


def test_whoever_keeps_the_exception_keeps_nothing() -> None:
    """As a tracker does that hangs itself behind the hooks: it prints the exception that it is given afterwards."""
    program = """
def tracked(before):
    def hook(*given):
        error = given[1] if len(given) > 1 else given[0].exc_value
        before(*given)
        print(*traceback.TracebackException.from_exception(error, capture_locals=True).format(), error.args)
    return hook
threading.excepthook = tracked(threading.excepthook)
def work():
    held = secret
    raise KeyError(secret)
thread = threading.Thread(target=work)
thread.start()
thread.join()
sys.excepthook = tracked(sys.excepthook)
def fail():
    held = secret
    try:
        int(held)
    except ValueError:
        raise KeyError("own words") from None
fail()
"""
    assert run(program, installed=False).count(SECRET) > 4
    told = run(program, installed=True)
    assert SECRET not in told and told.count("KeyError") >= 4


def test_an_exit_code_is_as_before() -> None:
    given = [sys.executable, "-c", PROGRAM + PLACES["main"], SECRET, "installed"]
    assert subprocess.run(given, capture_output=True, check=False).returncode == 1
