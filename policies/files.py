"""Reads a file of a policy version: YAML of a given shape, or text; from its folder, or from its files as they are kept."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from governance.errors import ConfigurationError

Shape = TypeVar("Shape", bound=BaseModel)
Files = Path | Mapping[str, bytes]
"""A version's folder, or its files by name."""


def parsed(files: Files, name: str, shape: type[Shape]) -> Shape:
    """The file's content. Raises ConfigurationError that names the file and the place, and quotes no value."""
    try:
        return shape.model_validate(yaml.safe_load(text(files, name)))
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise ConfigurationError(f"{name}: {where}: {fault['msg']}.") from None
    except yaml.YAMLError:
        raise _unreadable(name) from None


def text(files: Files, name: str) -> str:
    """Raises ConfigurationError that names the file."""
    try:
        return ((files / name).read_bytes() if isinstance(files, Path) else files[name]).decode()
    except (OSError, KeyError, UnicodeDecodeError):
        raise _unreadable(name) from None


def _unreadable(name: str) -> ConfigurationError:
    return ConfigurationError(f"{name} of the policy version can't be read.")
