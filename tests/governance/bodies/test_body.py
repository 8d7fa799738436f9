"""A body has no text form: each way by which one leaked elsewhere shows a length and a tag, or is refused."""

import copy
import copyreg
import dataclasses
import inspect
import io
import json
import logging
import pickle
import pprint
import traceback
from collections.abc import Callable
from string import Template
from typing import Any

import msgspec
import pydantic
import pydantic_core
import pytest
import rich
import rich.console
import structlog

from governance.bodies.body import Body
from governance.db import Database
from router.gateway.request_name import RequestName

SECRET = b"kanarie-of-the-prompt"


class Thief:
    """Has a Body's slots, and would show them."""

    __slots__ = ("_data", "_tag")


@dataclasses.dataclass
class Holder:
    body: Any


class Model(pydantic.BaseModel):
    body: Any


def drawn(body: Body, **options: Any) -> str:
    """As rich draws an object with its private attributes, methods and docs."""
    console = rich.console.Console(file=io.StringIO(), width=200)
    rich.inspect(body, console=console, **options)
    written: str = console.file.getvalue()  # type: ignore[attr-defined]
    return written


def percent(body: Body) -> str:
    return "%s %r" % (body, body)  # noqa: UP031  the old way is in use


def as_json_line(body: Body) -> str:
    line: Any = structlog.processors.JSONRenderer()(None, "info", {"event": body, "more": [body]})
    return str(line)


@pytest.mark.parametrize(
    "shown",
    [repr, str, ascii, lambda body: f"{body}", lambda body: f"{body!r:>60}", lambda body: f"{body:>60}",
     percent, lambda body: f"{body!s:.3}{body}", lambda body: str([body]),
     lambda body: Template("$b").substitute(b=body), lambda body: str({"a": body}), lambda body: str(ValueError(body)),
     lambda body: repr(KeyError(body)), lambda body: pprint.pformat([body]), lambda body: repr(Holder(body)),
     lambda body: json.dumps({"a": body}, default=str), lambda body: str(Model(body=body)), drawn, as_json_line,
     lambda body: drawn(body, private=True, dunder=True, methods=True), lambda body: drawn(Holder(body), all=True)],
)  # fmt: skip
def test_it_prints_as_a_length_and_a_tag(shown: Callable[[Body], str]) -> None:
    text = shown(Body(SECRET))
    assert "21 bytes" in text and "kanarie" not in text


@pytest.mark.parametrize(
    "attempt",
    [pickle.dumps, copy.copy, copy.deepcopy, lambda body: json.dumps({"a": body}), bytes, list, lambda body: body + b"",
     lambda body: b"" + body, lambda body: body[0], memoryview, lambda body: "".join([body]), vars, bytearray,
     lambda body: json.dumps(body, default=vars), lambda body: json.dumps(body, default=lambda each: each.__dict__),
     lambda body: msgspec.json.encode({"a": body}), lambda body: msgspec.msgpack.encode(body), msgspec.to_builtins,
     lambda body: dataclasses.asdict(Holder(body)), lambda body: dataclasses.astuple(Holder(body)),
     lambda body: pickle.dumps(Holder(body)), lambda body: copy.deepcopy([body]), lambda body: Model(body=body).model_dump_json(),
     lambda body: object.__reduce_ex__(body, 4), lambda body: copyreg.__reduce_ex__(body, 1), lambda body: body < body,
     lambda body: body in b"kanarie", lambda body: b"k" in body, lambda body: b"%b" % body,
     lambda body: type("Open", (Body,), {}), lambda body: int(body), lambda body: body.decode(), lambda body: iter(body),
     lambda body: body._data, lambda body: setattr(body, "_data", b""), lambda body: setattr(body, "note", b""),
     lambda body: setattr(body, "__class__", Thief), lambda body: delattr(body, "_tag")],
)  # fmt: skip
def test_everything_else_is_refused_without_its_words(attempt: Callable[[Body], object]) -> None:
    with pytest.raises(
        (TypeError, AttributeError, pydantic.ValidationError, pydantic_core.PydanticSerializationError)
    ) as caught:
        attempt(Body(SECRET))
    assert "kanarie" not in str(caught.value)


def test_the_tag_is_random_and_stays() -> None:
    body = Body(SECRET)
    assert repr(body) == repr(body) != repr(Body(SECRET))


def test_bodies_of_one_request_show_its_tag() -> None:
    name = RequestName()
    body = Body(SECRET, name.tag)
    assert name.text.endswith(name.tag) and len(name.tag) == 8
    assert (
        repr(body) == f"<Body 21 bytes #{name.tag}>"
        and repr(body.of_same_request(b"")) == f"<Body 0 bytes #{name.tag}>"
    )
    untold = Body(SECRET)
    assert untold.of_same_request(b"more").tag == untold.tag


def test_no_attribute_leads_to_the_bytes() -> None:
    """What walks through an object, as debuggers, trackers and serialisers do, finds methods alone."""
    body = Body(SECRET)
    found = [value for _, value in inspect.getmembers(body)] + [object.__getstate__(body)]  # type: ignore[attr-defined]
    for name in [*dir(body), *Body.__slots__]:
        found.append(inspect.getattr_static(body, name, None))
    assert not [value for value in found if isinstance(value, bytes | tuple | dict) and "kanarie" in repr(value)]
    assert not hasattr(body, "__dict__") and not hasattr(body, "__weakref__")


def test_it_compares_by_identity_so_that_no_assertion_prints_it() -> None:
    assert Body(SECRET) != Body(SECRET)
    assert Body(SECRET) != SECRET


def test_a_log_line_and_a_traceback_with_locals_show_nothing(caplog: pytest.LogCaptureFixture) -> None:
    body = Body(SECRET)
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("x").warning("got %s and %r", body, {"body": body})
        logging.getLogger("x").warning(body)
    assert "kanarie" not in caplog.text and "21 bytes" in caplog.text
    try:
        raise ValueError("no")
    except ValueError as error:
        frames = traceback.TracebackException.from_exception(error, capture_locals=True)
        console = rich.console.Console(file=io.StringIO(), width=200)
        console.print_exception(show_locals=True)
        structured = structlog.tracebacks.ExceptionDictTransformer(show_locals=True)(
            (type(error), error, error.__traceback__)
        )
    drawn_with_locals = console.file.getvalue()  # type: ignore[attr-defined]
    for text in ("".join(frames.format()), drawn_with_locals, str(structured)):
        assert SECRET.decode() not in text and "21 bytes" in text


async def test_it_is_no_sql_parameter(stores: tuple[Database, object]) -> None:
    from sqlalchemy import text
    from sqlalchemy.exc import DBAPIError

    with pytest.raises((DBAPIError, TypeError)) as caught:
        async with stores[0].engine.connect() as connection:
            await connection.execute(text("SELECT CAST(:a AS TEXT)"), {"a": Body(SECRET)})
    assert "kanarie" not in str(caught.value)


def test_only_expose_gives_the_bytes() -> None:
    assert Body(SECRET).expose() == SECRET and len(Body(SECRET)) == 21 and bool(Body(b""))
