"""Reads a file of a policy version's folder: YAML of a given shape, or text."""

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from governance.errors import ConfigurationError

Shape = TypeVar("Shape", bound=BaseModel)


def parsed(path: Path, shape: type[Shape]) -> Shape:
    """The file's content. Raises ConfigurationError that names the file and the place, and quotes no value."""
    try:
        return shape.model_validate(yaml.safe_load(path.read_text()))
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise ConfigurationError(f"{path.name}: {where}: {fault['msg']}.") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        raise _unreadable(path) from None


def text(path: Path) -> str:
    """Raises ConfigurationError that names the file."""
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        raise _unreadable(path) from None


def _unreadable(path: Path) -> ConfigurationError:
    return ConfigurationError(f"{path.name} of the policy version can't be read.")
