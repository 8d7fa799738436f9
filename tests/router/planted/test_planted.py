"""Layer 1 alone: leaks, failures and files planted into the real service leave nothing of a body anywhere.

Each plant has canaries of its own, in the prompt and so in the simulator's answer; the log, the events, the stores and
everything else under the service's folder are searched for all of them when all are through.
"""

import os
import re
import secrets
from typing import Any

import pytest

from tests.router.planted.conftest import Planted
from tests.router.planted.leaks import LEAKS
from tests.services.at_rest import holding
from tests.services.providers import fault

SAMPLE = 4  # one in so many of the functions fails each time; all of them with BATTERY=1
CHAT = "/v1/chat/completions"


def canary() -> str:
    return f"kanarie{secrets.token_hex(12)}"


def chat(words: str, model: str = "openai/good", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": words}], "user": words, **more}


def requests(words: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """One of each way through the gateway: dialects, translations, streams, and errors from either side."""
    google = {"contents": [{"role": "user", "parts": [{"text": words}]}]}
    text = {"max_tokens": 50, "messages": [{"role": "user", "content": words}]}
    made: dict[str, tuple[str, object]] = {
        "chat": (CHAT, chat(words)),
        "stream": (CHAT, chat(words, stream=True)),
        "to anthropic": (CHAT, chat(words, "anthropic/good")),
        "stream to anthropic": (CHAT, chat(words, "anthropic/good", stream=True)),
        "to google": (CHAT, chat(words, "google/good")),
        "stream to google": (CHAT, chat(words, "google/good", stream=True)),
        "messages": ("/v1/messages", {"model": "anthropic/good", **text}),
        "messages to openai": ("/v1/messages", {"model": "openai/good", **text}),
        "stream of messages to openai": ("/v1/messages", {"model": "openai/good", "stream": True, **text}),
        "google": ("/v1beta/models/google/good:generateContent", google),
        "google array": ("/v1beta/models/google/good:streamGenerateContent", google),
        "responses": ("/v1/responses", {"model": "openai/good", "input": words}),
        "embeddings": ("/v1/embeddings", {"model": "openai/embedding", "input": words}),
        "hub": (CHAT, chat(words, "hub/good")),
        "unknown model": (CHAT, chat(words, words)),
        "constraint": (CHAT, chat(words, provider={words: words})),
        "stream error": (CHAT, chat(words, fault("openai", "error_event"), stream=True)),
    }
    for name in ("400", "401", "503", "cut", "malformed", "html", "redirect", "empty"):
        made[name] = (CHAT, chat(words, fault("openai", name)))
        made[f"stream {name}"] = (CHAT, chat(words, fault("anthropic", name), stream=True))
    raw = {
        "not JSON": b'{"model": ' + words.encode(),
        "not UTF-8": b'{"model": "' + words.encode() + b'\xff"}',
        "twice": b'{"model": "a", "model": "' + words.encode() + b'"}',
    }
    return {kind: (path, {"json": body}) for kind, (path, body) in made.items()} | {
        kind: (CHAT, {"content": content}) for kind, content in raw.items()
    }


def elsewhere(opened: list[str]) -> list[str]:
    """Files outside the home. A number is a descriptor: what it stands for was opened before, by its name."""
    return [file for file in opened if "/home/" not in file and not file.isdigit()]


def rests(service: Planted, needles: list[str]) -> dict[str, list[str]]:
    return holding([service.home.parent], needles)


def test_each_leak_is_stopped_and_the_one_that_isn_t_is_found(planted: Planted) -> None:
    words = {name: canary() for name in LEAKS}
    written = {}
    for name, word in words.items():
        planted.plant("", leak=name)
        answer = planted.ask(CHAT, json=chat(word))
        assert answer is not None and answer.status_code == (500 if name == "in_an_exception_s_text" else 200)
        assert answer.status_code == 200 or word not in answer.text
        written[name] = elsewhere(planted.plant("")["opened"])
    seen = {name: files for name, files in written.items() if files}
    assert seen.keys() == {"in_a_temporary_file"}, seen  # it is seen where there is one
    found = rests(planted, list(words.values()))
    assert set(found) == {words["opened"]} and all(file.endswith("home.log") for file in found[words["opened"]])
    log = planted.log.read_text()
    for shown in ("debug: <Body ", "dumped: ", "refused: TypeError", "nobody caught this", "<Body "):
        assert shown in log, shown  # the leaks did run


def test_a_failure_anywhere_tells_nobody_anything(planted: Planted) -> None:
    """Functions that a request runs fail one at a time, with an exception that holds the prompt as a library's would."""
    reached: dict[str, str] = {}
    planted.plant("")
    for kind in requests(""):
        path, body = requests("hello")[kind]
        planted.ask(path, **body)
        for name in planted.plant("")["ran"]:
            reached.setdefault(name, kind)
    assert len(reached) > 150
    needles, told = [], []
    for name in sorted(reached) if os.environ.get("BATTERY") else sorted(reached)[::SAMPLE]:
        kind = reached[name]
        word = canary()
        needles.append(word)
        path, body = requests(word)[kind]
        planted.plant(word, wire=name, shots=1 if "gateway.protocol" in name else 100)
        answer = planted.ask(path, **body)
        if answer is not None and answer.status_code >= 400 and kind not in ("400",) and word in answer.text:
            told.append((name, kind))
        planted.plant("")
    assert told == []
    assert rests(planted, needles) == {}
    told_of = re.findall(
        r'"type": "(\w+)", "place": "[^"]*"(?:, "endpoint": "[^"]*")?, "event": "', planted.log.read_text()
    )

    assert set(told_of) >= {
        "ValueError",
        "KeyError",
        "JSONDecodeError",
        "UnicodeDecodeError",
        "RuntimeError",
        "OSError",
    }
    assert planted.ask(CHAT, json=chat("hello")).status_code == 200  # type: ignore[union-attr]


def test_every_way_through_leaves_nothing_with_every_logger_at_debug(planted: Planted) -> None:
    words = {kind: canary() for kind in requests("")}
    for kind, word in words.items():
        path, body = requests(word)[kind]
        planted.ask(path, **body)
    assert rests(planted, list(words.values())) == {}


@pytest.mark.parametrize(
    "path", [CHAT, "/v1/messages", "/portal/sign-in", "/v1/account/sign-in", "/v1/account/sign-up"]
)
def test_no_upload_is_spooled_to_a_file(planted: Planted, path: str) -> None:
    planted.plant("")
    word = canary()
    for size in (50_000, 2_000_000):
        large = (word * (size // len(word) + 1)).encode()
        for sent in (
            {"files": {word: (word, large, "text/plain")}},
            {"data": {"email": large.decode(), word: word}},
            {"content": large, "headers": {"content-type": "application/json"}},
        ):
            answer = planted.ask(path, **sent)
            assert answer is None or 400 <= answer.status_code < 500
    opened = planted.plant("")["opened"]
    assert elsewhere(opened) == []
    assert list(planted.temp.iterdir()) == []
    assert rests(planted, [word]) == {}
