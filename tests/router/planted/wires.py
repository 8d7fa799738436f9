"""A trip wire in each function of the gateway and the providers: it tells who ran, and fails where it is asked to."""

import importlib
import inspect
import json
import pkgutil
import sys
from collections.abc import Callable
from contextlib import aclosing
from functools import wraps
from types import ModuleType
from typing import Any

import router.gateway
import router.providers

Made = Callable[[str], BaseException]


def _not_json(content: str) -> BaseException:
    return json.JSONDecodeError(content, content, 0)


def _not_utf8(content: str) -> BaseException:
    return UnicodeDecodeError("utf-8", content.encode(), 0, 1, content)


def _caused(content: str) -> BaseException:
    try:
        raise KeyError(content.encode())
    except KeyError as error:
        made = RuntimeError(content)
        made.__cause__ = error
        made.add_note(content)
        return made


MADE: tuple[Made, ...] = (ValueError, KeyError, _not_json, _not_utf8, _caused, OSError)
"""What a library raises over content, each holding it in its own way."""


class Wires:
    """`ran` are the functions that ran since it was emptied; `armed` fails, with an exception that holds `content`."""

    def __init__(self) -> None:
        self.ran: set[str] = set()
        self.armed = ""
        self.shots = 0
        self.content = ""

    def pass_by(self, name: str) -> None:
        """Raises if the wire is armed."""
        self.ran.add(name)
        if name == self.armed and self.shots:
            self.shots -= 1
            raise MADE[sum(name.encode()) % len(MADE)](self.content)

    def lay(self) -> None:
        """In every function and method of both packages, under each name that a module has for it."""
        modules = [each for package in (router.gateway, router.providers) for each in _modules(package)]
        laid: dict[int, Any] = {}
        for module in modules:
            for name, value in list(vars(module).items()):
                if getattr(value, "__module__", None) != module.__name__:
                    continue
                if inspect.isfunction(value):
                    laid[id(value)] = self._wired(f"{module.__name__}:{name}", value)
                elif inspect.isclass(value) and not issubclass(value, BaseException):
                    self._lay_in_class(module, value)
        for module in [each for key, each in sys.modules.items() if key.startswith("router.")]:
            for name, value in list(vars(module).items()):
                if inspect.isfunction(value) and id(value) in laid:
                    setattr(module, name, laid[id(value)])

    def _lay_in_class(self, module: ModuleType, kind: type) -> None:
        for name, value in list(vars(kind).items()):
            if name.startswith("__"):
                continue
            full = f"{module.__name__}:{kind.__name__}.{name}"
            if inspect.isfunction(value):
                setattr(kind, name, self._wired(full, value))
            elif isinstance(value, staticmethod | classmethod):
                setattr(kind, name, type(value)(self._wired(full, value.__func__)))
            elif isinstance(value, property) and value.fget is not None:
                setattr(kind, name, value.getter(self._wired(full, value.fget)))

    def _wired(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.isasyncgenfunction(function):

            @wraps(function)
            async def each(*given: Any, **named: Any) -> Any:
                self.pass_by(name)
                async with aclosing(function(*given, **named)) as values:
                    async for value in values:
                        yield value

            return each
        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def later(*given: Any, **named: Any) -> Any:
                self.pass_by(name)
                return await function(*given, **named)

            return later

        @wraps(function)
        def now(*given: Any, **named: Any) -> Any:
            self.pass_by(name)
            return function(*given, **named)

        return now


def _modules(package: ModuleType) -> list[ModuleType]:
    names = [each.name for each in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
    return [importlib.import_module(name) for name in names if "simulator" not in name]
