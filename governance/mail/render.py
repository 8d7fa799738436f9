"""Renders mails from the text templates packaged in `templates/`: a block `subject` of one line, and a block `body`."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from governance.errors import Rejected

_FOLDER = Path(__file__).parent / "templates"
_VALUE_CHARACTERS_MAX = 2000


@cache
def _environment() -> Environment:
    # Plain text isn't HTML: escaping would show "&amp;" to the reader.
    return Environment(loader=FileSystemLoader(_FOLDER), undefined=StrictUndefined, autoescape=False)  # noqa: S701


def templates() -> tuple[str, ...]:
    """Names of the packaged templates."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.txt")))


def render(template: str, values: Mapping[str, str | Sequence[str]]) -> tuple[str, str]:
    """Subject line and body. A value is one line, or a sequence of lines where the template goes through them.

    Raises Rejected for a value that isn't one printable line, so that no value adds a header (RFC 5322 section 2.2) or
    a paragraph of its own to a mail. Jinja2's own errors name a missing variable, never a value.
    """
    for name, value in values.items():
        lines = (value,) if isinstance(value, str) else value
        if not all(line.isprintable() and len(line) <= _VALUE_CHARACTERS_MAX for line in lines):
            raise Rejected("This can't be written into a mail: use one line of printable characters.", field=name)
    page = _environment().get_template(f"{template}.txt")
    context = page.new_context(dict(values))
    subject, body = ("".join(page.blocks[name](context)).strip() for name in ("subject", "body"))
    return subject, body + "\n"
