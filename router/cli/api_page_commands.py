"""The commands of `docs/api.md`, by walking the tree that runs them."""

from collections.abc import Iterator
from typing import Any


def verbs(command: Any, name: str = "valueapi") -> Iterator[tuple[str, Any]]:
    """(`valueapi accounts list`, its command) for every verb below a group, in order of the alphabet."""
    for part, inner in sorted(command.commands.items()):
        if hasattr(inner, "commands"):
            yield from verbs(inner, f"{name} {part}")
        else:
            yield f"{name} {part}", inner


def lines(command: Any) -> Iterator[str]:
    """Each verb with the first line of its help, and each of its arguments and options."""
    for name, verb in verbs(command):
        arguments = [param for param in verb.params if param.param_type_name == "argument"]
        shown = " ".join([name, *(_name(argument) for argument in arguments)])
        yield f"- `{shown}`: {(verb.help or '').strip().splitlines()[0]}"
        for argument in arguments:
            yield f"  - `{_name(argument)}`: {argument.help}"
        for option in verb.params:
            if option not in arguments:
                yield f"  - {_option(option)}: {option.help}"


def _name(argument: Any) -> str:
    return str(argument.metavar or argument.name).upper()


def _option(option: Any) -> str:
    value = "" if option.is_flag else f" {option.opts[0].strip('-').upper()}"
    required = " (required)" if option.required else ""
    return f"`{' / '.join((*option.opts, *option.secondary_opts))}{value}`{required}"
