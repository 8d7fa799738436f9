"""Rules of passwords, and hashing that neither blocks the loop nor lets itself be flooded."""

import asyncio
import contextlib
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.errors import Rejected
from router.accounts import passwords as module
from router.accounts.passwords import NO_PASSWORD, Passwords, check_password
from router.errors import Unavailable
from tests.router.accounts.conftest import CHEAP, count_hashing

EMAIL = "ada@example.org"


@pytest.mark.parametrize("bad", ["", "a" * 11, "a" * 257, "ada@example.org", "ADA@Example.org", " ada@example.org ",
                                 "correct horse \ud800"])  # fmt: skip
def test_what_breaks_the_rules_is_rejected_without_its_text(bad: str) -> None:
    with pytest.raises(Rejected) as caught:
        check_password(bad, EMAIL)
    assert caught.value.field == "password"
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    assert len(bad) < 5 or bad not in str(caught.value)


@pytest.mark.parametrize("good", ["a" * 12, "a" * 256, "пароль из слов", "ada@example.org!"])
def test_what_keeps_them_is_taken(good: str) -> None:
    assert check_password(good, EMAIL) == good


@given(st.text(max_size=40))
def test_checking_has_no_other_outcome(text: str) -> None:
    with contextlib.suppress(Rejected):
        assert check_password(check_password(text, EMAIL), EMAIL) == check_password(text, EMAIL)


async def test_one_password_in_two_unicode_forms_is_one_password() -> None:
    passwords = Passwords(CHEAP)
    encoded = await passwords.hash(check_password("Å-ngström-lang", EMAIL))
    assert await passwords.verify("A\u030a-ngstro\u0308m-lang", encoded)
    passwords.close()


async def test_right_wrong_and_nobodys() -> None:
    passwords = Passwords(CHEAP)
    encoded = await passwords.hash("correct horse battery")
    assert encoded.startswith("$argon2id$") and "horse" not in encoded
    assert await passwords.verify("correct horse battery", encoded)
    for wrong in ("correct horse batterx", "", "\ud800", "x" * 100_000):
        assert not await passwords.verify(wrong, encoded)
        assert not await passwords.verify(wrong, None)
    assert not await passwords.verify("correct horse battery", "no hash at all")
    passwords.close()


async def test_nobodys_password_costs_one_verification_like_anybodys(monkeypatch: pytest.MonkeyPatch) -> None:
    passwords = Passwords(CHEAP)
    encoded = await passwords.hash("correct horse battery")
    verified = count_hashing(passwords, monkeypatch)
    await passwords.verify("correct horse battery", encoded)
    await passwords.verify("correct horse battery", None)
    await passwords.verify("x" * 100_000, None)
    parameters = [str(against).rsplit("$", 2)[0] for against in verified]
    assert len(parameters) == 3 and len(set(parameters)) == 1
    passwords.close()


async def test_where_no_password_was_chosen_none_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    passwords = Passwords(CHEAP)
    # Not even the one whose hash is verified for the time that it takes.
    monkeypatch.setattr(passwords, "_dummy", CHEAP.hash("nobody's password"))
    assert not any([await passwords.verify(each, NO_PASSWORD) for each in ("", NO_PASSWORD, "nobody's password")])
    passwords.close()


def test_the_default_is_argon2id_of_at_least_what_rfc_9106_calls_low_memory() -> None:
    hasher = Passwords()._hasher
    assert (hasher.type.name, hasher.time_cost, hasher.memory_cost) == ("ID", 3, 64 * 1024)


async def test_the_loop_runs_on_and_only_two_hash_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    passwords = Passwords(CHEAP)
    gate, running, most = threading.Event(), 0, 0
    lock = threading.Lock()

    def slow(text: str, against: str | None) -> str:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        assert gate.wait(10)
        with lock:
            running -= 1
        return "hash"

    monkeypatch.setattr(passwords, "_work", slow)
    hashing = [asyncio.create_task(passwords.hash("x" * 12)) for _ in range(6)]
    await asyncio.sleep(0)  # the loop is free while they wait, else this line isn't reached before the gate
    assert not any(task.done() for task in hashing)
    gate.set()
    assert await asyncio.gather(*hashing) == ["hash"] * 6
    assert most <= 2
    passwords.close()


async def test_too_many_at_once_are_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WAITING_MAX", 3)
    passwords = Passwords(CHEAP)
    gate = threading.Event()
    monkeypatch.setattr(passwords, "_work", lambda text, against: str(gate.wait(10)))
    hashing = [asyncio.create_task(passwords.hash("x" * 12)) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable) as caught:
        await passwords.hash("x" * 12)
    assert caught.value.retry_after_s
    gate.set()
    await asyncio.gather(*hashing)
    assert await passwords.hash("x" * 12)
    passwords.close()
