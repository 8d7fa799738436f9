"""The schedule and the columns are checked against each other, both ways."""

import pytest

from governance.datamap import AtRest, DataUse, Declaration, DeclaredColumn, LegalBasis, OnErasure, Store
from governance.errors import DeclarationError
from governance.retention.schedule import Rule, Schedule

RULE = Rule("usage", "t", "row_created", "P90D", "delete", "b", "s", "o")


def column(rule: str) -> DeclaredColumn:
    declaration = Declaration(
        1, "user.telemetry", frozenset({DataUse.SERVICE}), AtRest.PLAIN, rule, OnErasure.DELETE, LegalBasis.CONTRACT
    )
    return DeclaredColumn(Store.DATA, "usage", "model", declaration)


def test_matching_columns_and_rules_pass() -> None:
    Schedule({"usage": RULE}).check([column("usage")])


def test_a_column_whose_rule_is_missing_is_named() -> None:
    with pytest.raises(DeclarationError, match=r"usage\.model names the retention rule 'forever'"):
        Schedule({"usage": RULE}).check([column("usage"), column("forever")])


def test_a_rule_that_no_column_names_is_named() -> None:
    with pytest.raises(DeclarationError, match="'usage' is named by no column"):
        Schedule({"usage": RULE}).check([])
