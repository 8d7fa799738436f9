"""Rules of the house about bodies: each takes a module's text and gives the lines that break it.

They find what is written by mistake, in the ways by which gateways leaked. Code that means to get round them can.
"""

import ast
import builtins
import re
from collections.abc import Callable, Collection, Iterable

Rule = Callable[[str], list[int]]

_FRAMES = frozenset(
    (
        *("f_locals", "tb_frame", "_getframe", "currentframe", "settrace", "setprofile", "get_referents"),
        *("get_referrers", "get_objects", "__reduce__", "__reduce_ex__", "__getstate__", "_data_of", "string_at"),
    )
)
_LOCALS = frozenset(("capture_locals", "show_locals", "tracebacks_show_locals", "locals_max_length"))
_SYNC_LEVELS = ("debug", "info", "warning", "warn", "error", "critical", "fatal", "exception", "log", "msg")
_LEVELS = frozenset((*_SYNC_LEVELS, *(f"a{level}" for level in _SYNC_LEVELS)))
_LOGGER = re.compile(r"(^|_)(log|logger|logging|loggers)$", re.IGNORECASE)
_MAKE_LOGGERS = frozenset(("get_logger", "getLogger"))
_CARRIES = frozenset(
    ("bind_contextvars", "bound_contextvars", "set_attribute", "set_attributes", "add_event", "add_note")
)
_STREAMS = frozenset(("stdout", "stderr", "__stdout__", "__stderr__"))
_OWN_WORDS = frozenset(("endpoint", "status", "provider", "kind"))  # names that hold nothing but words of ours
_OWN_PARTS = frozenset(("type", "place", "status", "id", "request_id", "errno", "value"))
_OF_AN_ERROR = frozenset(
    (
        *("args", "doc", "object", "reason", "obj", "msg", "text", "value", "message", "body", "request", "response"),
        *("__notes__", "__cause__", "__context__", "__traceback__"),
    )
)
_SAYS_LITTLE = frozenset(("strerror", "errno", "status", "code", "phase"))
_DISK = frozenset(("tempfile", "shelve", "pickle", "marshal", "dbm", "sqlite3", "shutil", "mmap", "subprocess"))
_WRITES = frozenset(
    (
        *("open", "write_text", "write_bytes", "mkstemp", "mkdtemp", "NamedTemporaryFile", "memfd_create", "FileIO"),
        *(
            "open_file",
            "FileHandler",
            "RotatingFileHandler",
            "TimedRotatingFileHandler",
            "WatchedFileHandler",
            "SharedMemory",
        ),
        *("create_subprocess_exec", "create_subprocess_shell", "system", "popen", "setxattr", "ZipFile"),
    )
)
_CACHES = frozenset(("cache", "lru_cache", "cached_property", "alru_cache", "cached", "memoize"))
_CACHING = frozenset(("cache", "lru_cache", "alru_cache"))
_MAKES = frozenset(("dict", "list", "set", "defaultdict", "deque", "OrderedDict", "Counter", "WeakValueDictionary"))
_PUTS = frozenset(("append", "add", "setdefault", "update", "extend", "insert", "appendleft"))
_OWN_LABELS = frozenset(("_route", "_method"))  # give a template, or one of a few words


def exposes(source: str) -> list[int]:
    """Lines that open a body, by its method under whatever spelling."""
    return _lines(
        node
        for node in ast.walk(ast.parse(source))
        if (isinstance(node, ast.Attribute) and node.attr == "expose")
        or (isinstance(node, ast.Constant) and node.value == "expose")
    )


def opens_a_scan(source: str) -> list[int]:
    """Lines that take the bytes out of a scan, which are the body's: what is called a scan, or holds one, has `data`."""

    def breaks(node: ast.AST) -> bool:
        match node:
            case ast.Attribute(attr="data", value=held):
                return "scan" in (_named(held) or "").lower()
            case ast.Call(func=ast.Name(id="getattr"), args=[held, ast.Constant(value="data"), *_]):
                return "scan" in (_named(held) or "").lower()
        return False

    return _lines(filter(breaks, ast.walk(ast.parse(source))))


def looks_inside(source: str) -> list[int]:
    """Lines that get at an object's parts or a frame's locals round every method: so a body is opened too."""

    def breaks(node: ast.AST) -> bool:
        match node:
            case ast.Attribute():
                return node.attr in _FRAMES or (node.attr in {"stack", "trace"} and _last(node.value) == "inspect")
            case ast.Name(ctx=ast.Load()):
                return node.id in _FRAMES
            case ast.ImportFrom():
                return any(each.name in _FRAMES for each in node.names) or node.module == "cgitb"
            case ast.Import():
                return any(each.name == "cgitb" for each in node.names)
            case ast.keyword():
                return node.arg in _LOCALS and not (isinstance(node.value, ast.Constant) and node.value.value is False)
            case ast.Constant():
                return node.value in _FRAMES
        return False

    return _lines(filter(breaks, ast.walk(ast.parse(source))))


def says_what_it_met(source: str) -> list[int]:
    """Lines that log, print, warn or report anything but literals and words of ours, or a traceback."""

    tree = ast.parse(source)
    loggers = {
        name
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign | ast.AnnAssign)
        and node.value is not None
        and _named(node.value) in _MAKE_LOGGERS
        for name in _targets(node)
    }

    def breaks(node: ast.AST) -> bool:
        match node:
            case ast.Assign(value=ast.Attribute() as value) if _speaks(value, loggers):
                return True  # under another name it isn't seen
            case ast.Call(func=ast.Attribute(attr=attr)) if attr in _CARRIES:
                return not all(_own(each) for each in _given(node))
            case ast.Call(func=ast.Name(id=name)) if name in _CARRIES:
                return not all(_own(each) for each in _given(node))
            case ast.Call(func=ast.Attribute(attr="bind", value=held)) if _is_logger(held, loggers):
                return not all(_own(each) for each in _given(node))
            case ast.Import():
                return any(each.name == "traceback" for each in node.names)
            case ast.ImportFrom():
                return node.module == "traceback"
            case (
                ast.Call(func=ast.Attribute(attr="emit" | "emit_async"))
                | ast.Call(func=ast.Name(id="emit" | "emit_async"))
            ):
                return not all(_own(each) for each in _given(node))
            case ast.Call(func=ast.Attribute(attr="write", value=ast.Name(id="os")), args=[ast.Constant(), *_]):
                return True  # a descriptor by its number; one that was opened is found where it is
            case ast.Call() if _speaks(node.func, loggers):
                told = {each.arg for each in node.keywords} & {"exc_info", "stack_info", "extra"}
                return bool(told) or _last(node.func) == "exception" or not all(_own(each) for each in _given(node))
        return False

    return _lines(filter(breaks, ast.walk(tree)))


def raises_what_it_met(source: str) -> list[int]:
    """Lines that raise an exception of Python's own with a text that isn't a literal."""
    return _lines(
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and isinstance(kind := getattr(builtins, _last(node.exc.func) or "", None), type)
        and issubclass(kind, BaseException)
        and not all(_own(each) for each in _given(node.exc))
    )


def passes_an_error_on(source: str) -> list[int]:
    """Lines that make a text from an exception, take out what it holds, or chain it: its words can be the body's."""
    found: list[ast.AST] = []
    for handler in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ExceptHandler)):
        for node in (inner for line in handler.body for inner in ast.walk(line)):
            chained = isinstance(node, ast.Raise) and node.cause is not None and not _is_none(node.cause)
            if chained or (handler.name is not None and _quotes(node, handler.name)):
                found.append(node)
    return _lines(found)


def rests(source: str) -> list[int]:
    """Lines that open a file, or import what keeps things in one."""

    def breaks(node: ast.AST) -> bool:
        match node:
            case ast.Import():
                return any(each.name.partition(".")[0] in _DISK for each in node.names)
            case ast.ImportFrom():
                return (node.module or "").partition(".")[0] in _DISK
            case ast.Call():
                return _last(node.func) in _WRITES
        return False

    return _lines(filter(breaks, ast.walk(ast.parse(source))))


def remembers(source: str) -> list[int]:
    """Lines that keep what a function was given beyond its call: a cache on one that takes anything, a module's own
    list or dictionary that a function adds to."""
    tree = ast.parse(source)
    kept = {
        name
        for holder in (tree, *(node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)))
        for node in holder.body
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None and _is_container(node.value)
        for name in _targets(node)
    }
    found: list[ast.AST] = []
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
        given = function.args
        takes = bool(given.args or given.posonlyargs or given.kwonlyargs or given.vararg or given.kwarg)
        found += [each for each in function.decorator_list if takes and _named(each) in _CACHES]
        for node in ast.walk(function):
            match node:
                case ast.Global():
                    found.append(node)
                case ast.Subscript(
                    value=ast.Name(id=name) | ast.Attribute(attr=name, value=ast.Name()), ctx=ast.Store()
                ) if name in kept:
                    found.append(node)
                case ast.Call(
                    func=ast.Attribute(attr=attr, value=ast.Name(id=name) | ast.Attribute(attr=name, value=ast.Name()))
                ) if name in kept and attr in _PUTS:
                    found.append(node)
    # `f = cache(g)`: what g takes isn't seen.
    found += [
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and _last(node.func) in _CACHING and node.args
    ]
    return _lines(found)


def labels_freely(source: str) -> list[int]:
    """Lines that label a metric with anything but words of ours."""

    def own(node: ast.expr) -> bool:
        match node:
            case ast.Call(func=ast.Name(id="str"), args=[inner]):
                return own(inner)
            case ast.Call(func=ast.Name(id=name)):
                return name in _OWN_LABELS
        return _own(node)

    return _lines(
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "labels"
        and not all(own(each) for each in _given(node))
    )


def _is_logger(held: ast.expr, loggers: Collection[str]) -> bool:
    names = [_named(each) or "" for each in ast.walk(held)]
    return any(_LOGGER.search(name) or name in _MAKE_LOGGERS or name in loggers for name in names)


def _speaks(function: ast.expr, loggers: Collection[str]) -> bool:
    match function:
        case ast.Attribute(attr="print" | "print_json"):  # a console's
            return True
        case ast.Name():
            return function.id in {"print", "warn", "pprint"}
        case ast.Attribute(attr="write" | "writelines", value=held):
            return any(_last(each) in _STREAMS for each in ast.walk(held))
        case ast.Attribute(attr="warn" | "warn_explicit", value=ast.Name(id="warnings")):
            return True
        case ast.Attribute(value=held) if function.attr in _LEVELS:
            return _is_logger(held, loggers)
    return False


def _given(call: ast.Call) -> list[ast.expr]:
    return [*call.args, *(each.value for each in call.keywords)]


def _own(node: ast.expr) -> bool:
    """A literal, or a name or part that is known to hold words of ours."""
    match node:
        case ast.Constant():
            return True
        case ast.Name():
            return node.id in _OWN_WORDS
        case ast.Attribute(attr="__name__", value=ast.Call(func=ast.Name(id="type"))):
            return True
        case ast.Attribute():
            return node.attr in _OWN_PARTS
        case ast.Dict():
            return all(key is not None and _own(key) for key in node.keys) and all(_own(each) for each in node.values)
    return False


def _quotes(node: ast.AST, error: str) -> bool:
    def is_error(inner: ast.AST) -> bool:
        return isinstance(inner, ast.Name) and inner.id == error

    def told(inner: ast.AST) -> bool:
        """Whether the error itself, or a part of it that says much, is in this expression."""
        if isinstance(inner, ast.Attribute) and is_error(inner.value):
            return inner.attr not in _SAYS_LITTLE
        if isinstance(inner, ast.Call) and _last(inner.func) == "type":
            return False
        return is_error(inner) or any(told(child) for child in ast.iter_child_nodes(inner))

    match node:
        case ast.FormattedValue():
            return told(node.value)
        case ast.Call(func=ast.Name(id="str" | "repr" | "format" | "ascii" | "vars")):
            return any(map(told, node.args))
        case ast.Call(func=ast.Attribute(attr="format" | "join")):
            return any(map(told, _given(node)))
        case ast.Call() if (_last(node.func) or "").lstrip("_")[:1].isupper():
            return any(map(is_error, _given(node)))
        case ast.BinOp(op=ast.Mod()):
            return told(node.right)
        case ast.Attribute(attr=attr, ctx=ast.Load()):
            return is_error(node.value) and attr in _OF_AN_ERROR
    return False


def _is_container(node: ast.expr) -> bool:
    return isinstance(node, ast.Dict | ast.List | ast.Set | ast.DictComp | ast.ListComp | ast.SetComp) or (
        isinstance(node, ast.Call) and _last(node.func) in _MAKES
    )


def _targets(node: ast.Assign | ast.AnnAssign) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [each.id for each in targets if isinstance(each, ast.Name)]


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _named(node: ast.AST) -> str | None:
    """The last name of what is called or looked up, through calls."""
    return _named(node.func) if isinstance(node, ast.Call) else _last(node)


def _last(node: ast.AST) -> str | None:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else None


def _lines(nodes: Iterable[ast.AST]) -> list[int]:
    return sorted({line for node in nodes if (line := getattr(node, "lineno", None)) is not None})
