"""What asyncio's debug mode, a debugger or a log prints of an object near a body is its repr: none shows a text that
a caller or a provider wrote."""

import dataclasses
import enum
import importlib
import inspect
import pkgutil
import types
import typing
from collections.abc import Iterator
from typing import Any

import pydantic
import pytest
from prometheus_client.metrics import MetricWrapperBase
from redis.asyncio import Redis

import router.gateway
import router.providers

CANARY = "kanarie-in-a-field"
OURS = {
    "router.gateway.metering.StreamMeter": "a dialect",
    "router.gateway.request_name.RequestName": "a random id",
    "router.gateway.told_upstream.Told": "a pseudonym of nobody, and names of ours",
    "router.providers.catalog.Price": "numbers of the operator's file",
    "router.providers.scan.Member": "offsets",
    "router.providers.simulator.brain.Tokens": "numbers",
    "router.gateway.protocol.head.Refusal": "our own sentence",
    "router.gateway.ratelimit.buckets.Want": "a keyed hash of an account's or key's id",
    "router.gateway.ratelimit.buckets.Verdict": "numbers, and which bucket was empty",
    "router.gateway.ratelimit.tiers.Tier": "the operator's file",
    "router.gateway.upstream.UpstreamRequest": "an address of the operator's file",
    "router.providers.base_url.BaseUrl": "the operator's file",
    "router.providers.catalog.Model": "the operator's file",
    "router.providers.catalog.Provider": "the operator's file",
    "router.providers.catalog.Route": "the operator's file",
    "router.providers.constraints.Field": "words of the docs",
    "router.providers.data_policy.DataPolicy": "the operator's file",
    "router.providers.edits.Edit": "the edit's published name and field; never the value",
    "router.providers.simulator.reply.Shapes": "functions",
    "router.providers.simulator.server.Running": "the simulator's address",
}
"""Classes that show a text, and whose it is."""
_NO_TEXT = (bool, int, float, types.NoneType)


def classes() -> Iterator[type]:
    for package in (router.gateway, router.providers):
        for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if found.name.endswith("__main__"):
                continue
            for each in vars(importlib.import_module(found.name)).values():
                # The last two read the operator's files, and show a metric's name.
                skipped = (BaseException, enum.Enum, pydantic.BaseModel, MetricWrapperBase)
                if inspect.isclass(each) and each.__module__ == found.name and not issubclass(each, skipped):
                    yield each


def holds_text(hint: Any) -> bool:
    if typing.get_origin(hint) is typing.Literal:
        return False
    if arguments := typing.get_args(hint):
        return any(holds_text(each) for each in arguments if each is not ...)
    return not (isinstance(hint, type) and issubclass(hint, (*_NO_TEXT, enum.Enum)))


def filled(kind: type) -> object:
    """An instance whose every field or slot that can hold a text holds the canary, whatever it was made for."""
    made = kind.__new__(kind)
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        for field in dataclasses.fields(kind):
            object.__setattr__(made, field.name, CANARY if holds_text(hints[field.name]) else 0)
    else:
        slots = [name for base in kind.__mro__ for name in getattr(base, "__slots__", ())]
        initial = inspect.getsource(kind.__init__) if "__init__" in vars(kind) else ""
        for name in {*slots, *(each.partition(" ")[0].rstrip(":") for each in initial.split("self.")[1:])}:
            if name.isidentifier():
                object.__setattr__(made, name, CANARY)
    return made


def shown(kind: type) -> str:
    return repr(filled(kind)) + str(filled(kind))


def test_only_what_we_wrote_is_shown() -> None:
    showing = set()
    for kind in classes():
        # A repr of the library's own class shows a connection's settings, which are the operator's.
        if kind.__repr__ is not object.__repr__ and not issubclass(kind, Redis) and CANARY in shown(kind):
            showing.add(f"{kind.__module__}.{kind.__qualname__}")
    assert showing == set(OURS)


@pytest.mark.parametrize(
    "kind, is_shown",
    [
        (dataclasses.make_dataclass("Bad", [("text", str)], slots=True), True),
        (dataclasses.make_dataclass("Deep", [("texts", list[bytes | None])], frozen=True), True),
        (dataclasses.make_dataclass("Hidden", [("text", str)], repr=False), False),
        (dataclasses.make_dataclass("Numbers", [("n", int | None), ("kind", typing.Literal["a"])]), False),
        (type("Own", (), {"__slots__": ("text",), "__repr__": lambda self: self.text, "__module__": __name__}), True),
    ],
)
def test_a_class_that_shows_its_text_is_found(kind: type, is_shown: bool) -> None:
    assert (CANARY in shown(kind)) is is_shown


def test_those_on_the_hot_path_were_looked_at() -> None:
    names = {kind.__name__ for kind in classes()}
    assert {"Call", "Admitted", "Scan", "Prepared", "UpstreamRequest", "Served", "Caller", "Peek", "Reply", "Stream",
            "Settlement", "StreamMeter", "SSESplitter", "GatewayCycle", "OpenAIToAnthropic"} <= names  # fmt: skip
