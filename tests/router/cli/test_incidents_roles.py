"""Only an operator answers for an incident."""

from uuid import uuid4

import pytest
from typer.testing import CliRunner

from router.cli.main import command_line


@pytest.mark.parametrize("role", ["user"])
def test_another_role_is_refused(role: str) -> None:
    said = CliRunner().invoke(command_line(), ["incidents", "acknowledge", str(uuid4()), "--by", role, "--reason", "x"])
    assert said.exit_code == 2 and "Only an operator" in said.output
