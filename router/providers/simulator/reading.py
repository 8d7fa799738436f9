"""Small readers over decoded JSON, shared by the dialects; and the error that a dialect answers with."""

import json
import re
from collections.abc import Iterable, Mapping


class Refused(Exception):
    """The simulator answers with this status, in the dialect's error shape. The message is its own, without content."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def load(body: bytes) -> Mapping[str, object]:
    """The request's JSON object. Raises Refused."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(400, "We could not parse the JSON body of your request.") from None
    return mapping(value, "body")


def mapping(value: object, name: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise Refused(400, f"Invalid type for '{name}': expected an object.")
    return value


def items(value: object) -> list[object]:
    """A list's items; nothing for anything else."""
    return list(value) if isinstance(value, list) else []


def mappings(value: object) -> list[Mapping[str, object]]:
    """The objects of a list."""
    return [item for item in items(value) if isinstance(item, Mapping)]


def text(value: object) -> str:
    return value if isinstance(value, str) else ""


def texts(value: object) -> tuple[str, ...]:
    """A text, or a list's texts."""
    return (value,) if isinstance(value, str) else tuple(item for item in items(value) if isinstance(item, str))


def words(content: object) -> str:
    """A message's text: its content itself, or the `text` of its parts, one a line."""
    return content if isinstance(content, str) else joined(text(part.get("text")) for part in mappings(content))


_TOKENS = re.compile(r"[?&]tokens=([0-9]{1,7})\b")


def referenced(value: object) -> int:
    """Tokens of everything that the request names by an address: `https://…?tokens=N` says how many it stands for."""
    if isinstance(value, str):
        found = _TOKENS.search(value) if value.startswith("https://") else None
        return int(found[1]) if found else 0
    inner = value.values() if isinstance(value, Mapping) else items(value)
    return sum(referenced(one) for one in inner)


def number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def first(*values: object) -> object:
    """The first that isn't None."""
    return next((value for value in values if value is not None), None)


def joined(parts: Iterable[str]) -> str:
    return "\n".join(part for part in parts if part)
