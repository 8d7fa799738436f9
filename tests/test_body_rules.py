"""House rules about bodies, over every module: who opens one, and what the code near one doesn't do."""

from pathlib import Path

import pytest

from tests.body_rules import (
    Rule,
    exposes,
    labels_freely,
    looks_inside,
    opens_a_scan,
    passes_an_error_on,
    raises_what_it_met,
    remembers,
    rests,
    says_what_it_met,
)

ROOT = Path(__file__).parents[1]
PACKAGES = ("governance", "policies", "reports", "router")
OPENING = ("router/gateway/", "router/providers/")
NEAR = (
    *OPENING,
    # Between the socket and the gateway, where a body is still plain bytes.
    "router/app/asgi.py",
    "router/app/arrived.py",
    "router/app/last_resort.py",
    "router/app/worker.py",
    "router/app/serving.py",
)

EVERYWHERE = (exposes, opens_a_scan, looks_inside, labels_freely)
"""The others hold where bodies are open, or not closed yet."""
MAY: dict[Rule, dict[str, str]] = {
    exposes: {
        "router/gateway/upstream.py": "sends it",
        "router/gateway/reply.py": "writes it to the caller",
        "router/gateway/admission.py": "finds its members",
        "router/gateway/relay.py": "has a whole answer metered and translated",
        "router/gateway/told_upstream.py": "looks into bodies that it made up itself",
        "governance/bodies/fragments.py": "cuts it into the blocks that sinks are watched for",
    },
    opens_a_scan: {
        "router/gateway/prepare.py": "sends it on, as it is or translated",
        "router/providers/edits.py": "edits it",
        "router/providers/dialects/openai.py": "looks for fields that a rule is about",
        "router/providers/dialects/anthropic.py": "looks for fields that a rule is about",
        "router/providers/dialects/google.py": "looks for fields that a rule is about",
        "router/providers/dialects/aggregated.py": "looks for fields that a rule is about",
    },
    looks_inside: {
        "governance/bodies/body.py": "takes the way to the bytes off the class",
        "governance/bodies/failure.py": "the name of the file that a frame is in",
        "governance/bodies/guards.py": "the name of the file that a frame is in",
        "governance/bodies/write_watch.py": "the name of the file that a frame is in",
    },
    says_what_it_met: {
        "router/gateway/ratelimit/degrading.py": "where limits are decided, and how many were decided here",
        "router/providers/simulator/__main__.py": "the simulator's own help and address",
        "router/app/serving.py": "the sentence that start-up stops with; no request comes through its code",
        "router/app/last_resort.py": "the type, the place and the event of what nobody caught",
    },
    passes_an_error_on: {
        "router/gateway/protocol/connection.py": "the parser's offset behind an upgrade, a number",
        "router/providers/catalog.py": "what is wrong with a line of the operator's file, at start",
        "router/providers/simulator/app.py": "the simulator's own sentence, to its caller",
    },
    raises_what_it_met: {"router/providers/catalog_file.py": "a limit of ours, about the operator's file"},
    rests: {
        "router/app/serving.py": "starts the workers",
        "router/gateway/probe_routes.py": "says on which port the service's own probe listens, and until when",
        "router/gateway/shared.py": "one file of counters, whose fields are numbers and hashes",
        "router/providers/catalog_file.py": "reads the operator's file, at start",
        "router/providers/secrets.py": "reads a provider's key, at start",
    },
    remembers: {},
    labels_freely: {
        "router/gateway/metrics.py": "hands on what others label with, each value once the guard has seen it",
    },
}
"""The rules, and where what they find is right, and why."""

FINDS: dict[Rule, tuple[str, ...]] = {
    exposes: (
        "log(body.expose())\n",
        "take = call.body.expose\n",
        "getattr(body, 'expose')()\n",
        "operator.attrgetter('expose')(body)\n",
        "operator.methodcaller('expose')(body)\n",
        "Body.expose(body)\n",
        "methods = {'open': 'expose'}\n",
    ),
    opens_a_scan: (
        "_keep(admitted.scan.data)\n",
        "scan.data\n",
        "scan(body, spoken.GOVERNED).data\n",
        "getattr(admitted.scan, 'data')\n",
    ),
    looks_inside: (
        "from governance.bodies.body import _data_of\n",
        "body._data_of(x)\n",
        "object.__getstate__(body)\n",
        "body.__reduce_ex__(4)\n",
        "getattr(body, '__reduce__')()\n",
        "import gc\ngc.get_referents(body)\n",
        "from gc import get_objects\n",
        "sys._getframe(1).f_locals\n",
        "import inspect\ninspect.currentframe()\n",
        "inspect.stack()\n",
        "trace.tb_frame\n",
        "sys.settrace(look)\n",
        "traceback.TracebackException(*x, capture_locals=True)\n",
        "console.print_exception(show_locals=True)\n",
        "install(show_locals=wanted)\n",
        "import cgitb\n",
        "ctypes.string_at(id(body), 100)\n",
    ),
    says_what_it_met: (
        "_log.info(body)\n",
        "_log.info('got', body=body)\n",
        "_log.info(f'got {body}')\n",
        "_log.info('got %s' % body)\n",
        "_log.info('got', **detail)\n",
        "_log.error('failed', error=str(error))\n",
        "_log.error('failed', exc_info=True)\n",
        "_log.error('failed', stack_info=True)\n",
        "_log.info('failed', extra={'body': 1})\n",
        "_log.exception('failed')\n",
        "await _log.ainfo('got', body=body)\n",
        "self.logger.debug('%s', chunk)\n",
        "logging.warning(text)\n",
        "logging.getLogger('x').info(text)\n",
        "structlog.get_logger().bind(a=1).info(text)\n",
        "print(body)\n",
        "sys.stderr.write(text)\n",
        "warnings.warn(text)\n",
        "_log.bind(text=text).info('got')\n",
        "structlog.contextvars.bind_contextvars(prompt=text)\n",
        "audit = structlog.get_logger('x')\naudit.info('got', text=text)\n",
        "say = _log.info\nsay(text)\n",
        "sys.stdout.buffer.write(data)\n",
        "os.write(2, data)\n",
        "console.print(text)\n",
        "span.set_attribute('gen_ai.prompt', text)\n",
        "try:\n    f()\nexcept ValueError as e:\n    e.add_note(text)\n    raise\n",
        "import traceback\n",
        "from traceback import format_exc\n",
        "await events.emit_async('a:b:c', {'model': name})\n",
        "events.emit('a:b:c', detail)\n",
        "events.emit('a:b:c', {name: 1})\n",
    ),
    passes_an_error_on: (
        "try:\n    f()\nexcept ValueError as error:\n    raise Bad(str(error)) from None\n",
        "try:\n    f()\nexcept ValueError as error:\n    raise Bad(f'no: {error}') from None\n",
        "try:\n    f()\nexcept ValueError as error:\n    raise Bad(f'no: {error!r}') from None\n",
        "try:\n    f()\nexcept ValueError as error:\n    raise Bad('no: %s' % error) from None\n",
        "try:\n    f()\nexcept ValueError as error:\n    raise Bad('no: {}'.format(error)) from None\n",
        "try:\n    f()\nexcept ValueError as error:\n    raise Bad(error) from None\n",
        "try:\n    f()\nexcept ValueError as error:\n    raise Bad('no') from error\n",
        "try:\n    f()\nexcept ValueError as e:\n    keep(e.args)\n",
        "try:\n    f()\nexcept UnicodeDecodeError as e:\n    keep(e.object)\n",
        "try:\n    f()\nexcept ValueError as e:\n    if x:\n        keep(repr(e))\n",
        "try:\n    f()\nexcept ValueError as e:\n    raise Bad(f'{e.doc[:10]}') from None\n",
    ),
    raises_what_it_met: (
        "raise ValueError(text)\n",
        "raise KeyError(f'no {name}') from None\n",
        "raise builtins.RuntimeError('no', text)\n",
        "raise OSError(*given)\n",
    ),
    rests: (
        "open('x', 'wb')\n",
        "path.open('wb')\n",
        "os.open(path, flags)\n",
        "path.write_text(text)\n",
        "path.write_bytes(body)\n",
        "import tempfile\n",
        "from tempfile import SpooledTemporaryFile\n",
        "import shelve, json\n",
        "import pickle\n",
        "from dbm import gnu\n",
        "import sqlite3\n",
        "import subprocess\n",
        "os.memfd_create('x')\n",
        "await asyncio.create_subprocess_exec('tee', text)\n",
        "os.system(text)\n",
        "os.popen('tee x')\n",
        "io.FileIO(path, 'w')\n",
        "await anyio.open_file(path, 'w')\n",
        "logging.FileHandler(path)\n",
        "shared_memory.SharedMemory(name='x', create=True, size=9)\n",
    ),
    remembers: (
        "@cache\ndef f(name: str) -> str:\n    return name\n",
        "@functools.lru_cache(maxsize=10)\ndef f(*, body):\n    return body\n",
        "@functools.lru_cache\nasync def f(*rest):\n    return rest\n",
        "class A:\n    @cached_property\n    def text(self):\n        return self.body\n",
        "look = lru_cache(maxsize=None)(find)\nother = cache(find)\n",
        "_seen: dict[str, int] = {}\ndef f(name):\n    _seen[name] = 1\n",
        "_seen = set()\ndef f(name):\n    _seen.add(name)\n",
        "class A:\n    seen = {}\n    def f(self, body):\n        A.seen[body] = 1\n",
        "class A:\n    seen = set()\n    def f(self, body):\n        self.seen.add(body)\n",
        "_last = None\ndef f(body):\n    global _last\n    _last = body\n",
    ),
    labels_freely: (
        "self.requests.labels(model).inc()\n",
        "self.requests.labels(str(name)).inc()\n",
        "self.requests.labels(endpoint, path=scope['path']).inc()\n",
        "self.requests.labels(f'{model}').inc()\n",
        "self.requests.labels(head.user_agent).inc()\n",
        "self.requests.labels(shown(x)).inc()\n",
        "self.requests.labels(**words).inc()\n",
    ),
}
PASSES: dict[Rule, tuple[str, ...]] = {
    exposes: ("EXPOSED = 1\nexpose = 2\nport.exposed()\n",),
    opens_a_scan: ("stores.data\nimage.data\nscan.raw('model')\n",),
    looks_inside: (
        "class A:\n    def __reduce_ex__(self, protocol):\n        raise TypeError('no')\n",
        "console.print_exception(show_locals=False)\n",
        "stack.trace()\ngc.collect()\n",
    ),
    says_what_it_met: (
        "_log.error('internal error', type=met.type, place=met.place, endpoint=endpoint)\n",
        "_log.error('failed', type=type(error).__name__)\n",
        "catalog.error(text)\nself.dialog.info(text)\nresponse.write(text)\n",
        "await events.emit_async('a:b:c', {'provider': provider, 'status': answer.status})\n",
        "print('started')\n",
    ),
    passes_an_error_on: (
        "try:\n    f()\nexcept ValueError:\n    raise Bad('no') from None\n",
        "try:\n    f()\nexcept Bad as error:\n    await fail(error)\n    raise broken(error) from None\n",
        "try:\n    f()\nexcept OSError as error:\n    raise Bad(f'{name}: {error.strerror}') from None\n",
        "try:\n    f()\nexcept ValueError as error:\n    kind = f'{type(error).__name__}'\n    raise\n",
        "str(body)\n",
    ),
    raises_what_it_met: ("raise ValueError('no')\nraise TypeError\nraise InvalidRequest(f'no {name}')\n",),
    rests: ("self._open(event)\nopened.close()\nimport json\n",),
    remembers: (
        "@cache\ndef sheet() -> bytes:\n    return b''\n",
        "def f(name):\n    seen = {}\n    seen[name] = 1\n    seen.update(a=1)\n",
        "_KNOWN = {'a': 1}\ndef f(name):\n    return _KNOWN[name], _KNOWN.get(name)\n",
        "_all = []\n_all.append(1)\n",
    ),
    labels_freely: (
        "self.requests.labels(endpoint, str(status)).inc()\n",
        "self.failures.labels(met.type).inc()\n",
        "self.requests.labels(_method(scope), _route(scope)).inc()\n",
        "self.requests.labels('all').inc()\n",
    ),
}
RULES = pytest.mark.parametrize("rule", MAY, ids=lambda rule: rule.__name__)


def _examples(table: dict[Rule, tuple[str, ...]]) -> list[object]:
    return [
        pytest.param(rule, each, id=f"{rule.__name__}-{number}")
        for rule, several in table.items()
        for number, each in enumerate(several)
    ]


@RULES
def test_nobody_breaks_it(rule: Rule) -> None:
    assert [
        f"{name}:{line}"
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if (rule in EVERYWHERE or str(path.relative_to(ROOT)).startswith(NEAR))
        and (name := str(path.relative_to(ROOT))) not in MAY[rule]
        for line in rule(path.read_text())
    ] == []


@RULES
def test_an_exception_is_still_needed(rule: Rule) -> None:
    assert [name for name in MAY[rule] if not rule((ROOT / name).read_text())] == []


def test_bodies_are_opened_near_the_wire_alone() -> None:
    """Further modules may be named above; none of another room."""
    assert [
        name for name in (*MAY[exposes], *MAY[opens_a_scan]) if not name.startswith((*OPENING, "governance/bodies/"))
    ] == []


@pytest.mark.parametrize("rule, example", _examples(FINDS))
def test_the_rule_finds_it(rule: Rule, example: str) -> None:
    assert rule(example)


@pytest.mark.parametrize("rule, example", _examples(PASSES))
def test_the_rule_lets_it_pass(rule: Rule, example: str) -> None:
    assert rule(example) == []


LEAKING_ENTRY = """
    async def _gateway(self, service, match, scope, receive, send):
        first = await receive()
        text = first["body"].decode()
        _log.info("first piece", body=text)
        with (self._settings.log_folder / "debug.log").open("a") as out:
            out.write(text)
        await events.emit_async("gateway:request:came", {"body": text})
        await service.gateway.serve(match, scope, receive, send)
"""


@pytest.mark.parametrize("rule, lines", [(says_what_it_met, 2), (rests, 1)], ids=["says", "rests"])
def test_a_leak_in_the_application_before_the_gateway_is_found(rule: Rule, lines: int) -> None:
    """There the body is plain bytes, and nothing else of layer 1 stands before a log line."""
    name = "router/app/asgi.py"
    assert name.startswith(NEAR) and name not in MAY[rule]
    source = (ROOT / name).read_text()
    at = source.index("    async def _gateway")
    assert len(rule(source[:at] + LEAKING_ENTRY + source[at:])) == lines


def test_make_check_runs_these_rules() -> None:
    assert "tests/test_body_rules.py" in (ROOT / "Makefile").read_text()
