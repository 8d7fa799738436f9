"""What admission refuses, where no whole service is needed to see it."""

from dataclasses import replace
from uuid import UUID

import pytest

from governance.ids import uuid7
from governance.vault.envelope import Key
from router.accounts.principal import Principal
from router.errors import Forbidden
from router.gateway import admission
from router.gateway.admission import Admission

PRINCIPAL = Principal(
    api_key_id=uuid7(),
    account_id=uuid7(),
    subject_id=uuid7(),
    tier="free",
    role="user",
    account_policy=None,
    key_policy=None,
    subject_key=Key(UUID(int=1), bytes(32)),
    subject_state="active",
)
ADMISSION = Admission.__new__(Admission)  # `own_constraints` reads nothing of it


@pytest.mark.parametrize("state", ["restricted", "erased", "anything else"])
def test_only_an_active_subject_is_served(state: str) -> None:
    admission.check_subject(PRINCIPAL)
    with pytest.raises(Forbidden):
        admission.check_subject(replace(PRINCIPAL, subject_state=state))


@pytest.mark.parametrize("policy", [{"unheard_of": 1}, {"zdr": "perhaps"}, {"only": []}])
def test_a_stored_policy_that_cannot_be_read_fails_closed(policy: dict[str, object]) -> None:
    for principal in (replace(PRINCIPAL, account_policy=policy), replace(PRINCIPAL, key_policy=policy)):
        with pytest.raises(Forbidden, match="can't be read"):
            ADMISSION.own_constraints(principal)


@pytest.mark.parametrize(
    ("account", "key", "stores"),
    [(None, None, False), (True, None, True), (True, False, False), (None, True, False), (False, True, False)],
)
def test_a_key_can_only_take_the_accounts_yes_back(account: bool | None, key: bool | None, stores: bool) -> None:
    principal = replace(PRINCIPAL, account_policy={"allow_store": account}, key_policy={"allow_store": key})
    assert ADMISSION.own_constraints(principal)[1] is stores
