"""The data map is derived from the declarations, and its Fides form is one that fideslang takes."""

import json

import yaml
from fideslang.default_taxonomy import DEFAULT_TAXONOMY
from fideslang.models import Taxonomy
from typer.testing import CliRunner

import router.migrations.tables  # noqa: F401
from router.cli.main import command_line
from tests.shipped import shipped


def test_the_fides_manifest_parses_and_every_key_is_known() -> None:
    printed = CliRunner().invoke(command_line(), ["datamap", "--format", "fides"])
    assert printed.exit_code == 0
    manifest = yaml.safe_load(printed.stdout)
    parsed = Taxonomy.model_validate(manifest)
    assert {dataset.fides_key for dataset in parsed.dataset or []} == {"valueapi_data", "valueapi_keys"}
    # fideslang's models alone accept any category, so the keys are compared with its taxonomy.
    known = {category.fides_key for category in DEFAULT_TAXONOMY.data_category}
    used = {
        str(key)
        for dataset in parsed.dataset or []
        for collection in dataset.collections
        for field in collection.fields
        for key in field.data_categories or []
    }
    assert used and used <= known


def test_the_json_form_lists_every_column() -> None:
    printed = CliRunner().invoke(command_line(), ["datamap", "--json"])
    rows = json.loads(printed.stdout)
    assert len([row for row in rows if not row["table"].startswith("test_")]) == len(shipped())
    assert {"seal_id", "data_category", "period", "on_erasure"} <= set(rows[0])
