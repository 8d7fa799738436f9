"""What leaves `Gateway.serve` as an exception holds nothing: no text, no cause, no frame with a body in it.

Whoever stands around the gateway is played by the test: it takes what the task ended in, and looks at all of it.
"""

import asyncio
import json
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from governance.vault.keys import KeyStore
from router.gateway import api, prepare
from router.gateway.reply import Reply
from tests.router.billing.book import Flaky
from tests.router.gateway.rig import CHAT, rigged
from tests.router.gateway.scripted import says, serving

SECRET = "kanarie-of-the-prompt"
BODY = {**CHAT, "messages": [{"role": "user", "content": SECRET}]}
pytestmark = pytest.mark.parametrize("stores", ["sqlite"], indirect=True)


def all_of(error: BaseException) -> str:
    """Everything of an exception and what hangs on it, and every local of every frame but the test's own, opened where
    it can be."""
    told = traceback.format_exception_only(error)
    for each in (error, error.__context__, error.__cause__):
        if each is not None:
            told.append(repr(each.args) + repr(each.__dict__))
            for frame, _ in traceback.walk_tb(each.__traceback__):
                if frame.f_code.co_filename != __file__:
                    told += [repr(_opened(value)) for value in frame.f_locals.values()]
    return "".join(told)


def _opened(value: object) -> object:
    """A body, or what has one, as code that means to would show it."""
    for way in (
        lambda: value.expose(),
        lambda: value.body.expose(),
        lambda: value.data,
        lambda: value.call.body.expose(),
    ):  # type: ignore[attr-defined]
        try:
            return way()
        except AttributeError:
            continue
    return value


def failing(*_: object, **__: object) -> Any:
    try:
        json.loads("{" + SECRET)
    except ValueError:
        raise KeyError(SECRET.encode()) from None


async def failing_later(*_: object, **__: object) -> Any:
    failing()


async def left_with(folder: Path, ledger: tuple[Flaky, KeyStore], end: Callable[[Any], None]) -> BaseException | None:
    """What a request ends in whose upstream never answers, and to which `end` happens meanwhile."""
    db, keys = ledger
    async with (
        serving(says(hang=True)) as upstream,
        rigged(folder, db, keys, upstream.url.removesuffix("/v1/x")) as rig,
    ):
        asking = rig.ask(BODY)
        await upstream.came.wait()
        end(asking)
        await asyncio.wait([asking.task], timeout=10)
        try:
            asking.task.result()
        except BaseException as error:
            return error
        return None


async def test_a_failure_that_can_t_even_be_answered(
    tmp_path: Path, ledger: tuple[Flaky, KeyStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    db, keys = ledger
    for broken in ((api, "render", failing), (Reply, "whole", failing_later), (api.Gateway, "_record", failing_later)):
        folder = tmp_path / broken[1]
        folder.mkdir()
        with monkeypatch.context() as patch:
            patch.setattr(prepare, "upstream_user", failing)
            patch.setattr(*broken)
            async with rigged(folder, db, keys, "http://127.0.0.1:9") as rig:
                with pytest.raises(KeyError) as caught:
                    await rig.ask(BODY).done()
        assert SECRET not in all_of(caught.value)


async def test_the_same_where_it_is_not_emptied_would_show(
    tmp_path: Path, ledger: tuple[Flaky, KeyStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of this file's own look: with the words of the failure changed to ours, frames alone would tell."""
    monkeypatch.setattr(api.failure, "empty", lambda error: None)

    def silent(*_: object) -> None:
        raise RuntimeError

    async def silent_later(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(prepare, "upstream_user", silent)
    monkeypatch.setattr(api.Gateway, "_record", silent_later)
    db, keys = ledger
    async with rigged(tmp_path, db, keys, "http://127.0.0.1:9") as rig:
        with pytest.raises(RuntimeError) as caught:
            await rig.ask(BODY).done()
    assert SECRET in all_of(caught.value)
    monkeypatch.undo()


async def test_a_server_that_cancels_gets_no_frame_with_a_body(tmp_path: Path, ledger: tuple[Flaky, KeyStore]) -> None:
    error = await left_with(tmp_path, ledger, lambda asking: asking.task.cancel(SECRET))
    assert isinstance(error, asyncio.CancelledError) and SECRET not in all_of(error)


async def test_an_answer_that_fails_while_it_is_cancelled_leaves_nothing_unretrieved(
    tmp_path: Path, ledger: tuple[Flaky, KeyStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    monkeypatch.setattr(api.Settlement, "correct_limits", failing_later)
    for end in (lambda asking: asking.leave(), lambda asking: asking.task.cancel()):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        error = await left_with(folder, ledger, end)
        assert error is None or SECRET not in all_of(error)
    assert SECRET not in str(told)
    assert all(SECRET not in all_of(each["exception"]) for each in told if "exception" in each)
