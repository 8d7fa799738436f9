"""Every fault mode, on a real socket, for each dialect where that differs."""

import json
import logging
import socket
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from router.providers.simulator import Recorder, Running, faults, running

CANARY = "canary-55ee"
OPENAI_STREAM = {"stream": True, "stream_options": {"include_usage": True}}


@pytest.fixture
def http() -> httpx2.Client:
    return httpx2.Client(timeout=5, follow_redirects=False)


def chat(http: httpx2.Client, sim: Running, fault: str, **more: object) -> httpx2.Response:
    body = {"model": f"sim-gpt:fault={fault}", "messages": [{"role": "user", "content": CANARY}], **more}
    return http.post(sim.url + "/v1/chat/completions", json=body, headers={"authorization": "Bearer k"})


def messages(http: httpx2.Client, sim: Running, fault: str, **more: object) -> httpx2.Response:
    body = {"model": f"sim-claude:fault={fault}", "max_tokens": 99, "messages": [{"role": "user", "content": CANARY}]}
    headers = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
    return http.post(sim.url + "/v1/messages", json={**body, **more}, headers=headers)


def gemini(http: httpx2.Client, sim: Running, fault: str, method: str) -> httpx2.Response:
    url = f"{sim.url}/v1beta/models/sim-gemini:fault={fault}:{method}"
    return http.post(url, json={"contents": [{"parts": [{"text": CANARY}]}]}, headers={"x-goog-api-key": "k"})


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
def test_error_statuses_echo_the_prompt_in_each_dialects_shape(http: httpx2.Client, sim: Running, status: int) -> None:
    for got in (
        chat(http, sim, f"{status}"),
        chat(http, sim, f"{status}", **OPENAI_STREAM),
        messages(http, sim, f"{status}"),
        gemini(http, sim, f"{status}", "generateContent"),
        gemini(http, sim, f"{status}", "streamGenerateContent?alt=sse"),
    ):
        assert got.status_code == status and CANARY in got.json()["error"]["message"]
        assert "retry-after" not in got.headers
    assert chat(http, sim, f"{status},retry_after=7").headers["retry-after"] == "7"


@pytest.mark.parametrize("more", [{}, OPENAI_STREAM])
@pytest.mark.parametrize("fault", ["cut", "cut_json"])
def test_cut_breaks_the_body_at_http_level(http: httpx2.Client, sim: Running, fault: str, more: dict) -> None:
    with pytest.raises(httpx2.RemoteProtocolError):
        chat(http, sim, fault, **more)


def test_cut_json_sends_torn_json_first(sim: Running) -> None:
    body = {"model": "sim-gpt:fault=cut_json", "messages": [{"role": "user", "content": CANARY}], "stream": True}
    seen = b""
    with (
        pytest.raises(httpx2.RemoteProtocolError),
        httpx2.stream(
            "POST", sim.url + "/v1/chat/completions", json=body, headers={"authorization": "Bearer k"}
        ) as got,
    ):
        for chunk in got.iter_raw():
            seen += chunk
    last = seen.rsplit(b"data: ", 1)[1]
    with pytest.raises(ValueError):
        json.loads(last)
    assert seen.count(b"\n\n") >= 1 and not seen.endswith(b"\n\n")


def test_close_and_empty_give_no_body(http: httpx2.Client, sim: Running) -> None:
    with pytest.raises(httpx2.RemoteProtocolError):
        chat(http, sim, "close")
    assert chat(http, sim, "empty").content == b"" and chat(http, sim, "empty").status_code == 200


def test_bodies_that_arent_what_the_dialect_promises(http: httpx2.Client, sim: Running) -> None:
    malformed = chat(http, sim, "malformed")
    assert malformed.status_code == 200 and CANARY in malformed.text
    with pytest.raises(ValueError):
        malformed.json()
    events = chat(http, sim, "malformed", **OPENAI_STREAM).text
    assert '"broken"' in events and events.endswith("data: [DONE]\n\n")
    for got in (chat(http, sim, "html"), chat(http, sim, "html", **OPENAI_STREAM)):
        assert got.status_code == 200 and got.headers["content-type"].startswith("text/html") and CANARY in got.text
    assert chat(http, sim, "wrong_type").headers["content-type"].startswith("text/plain")
    assert chat(http, sim, "wrong_type", **OPENAI_STREAM).headers["content-type"].startswith("text/plain")


def test_error_event_ends_the_stream_and_echoes(http: httpx2.Client, sim: Running) -> None:
    opened = chat(http, sim, "error_event", **OPENAI_STREAM).text
    assert "[DONE]" not in opened and CANARY in json.loads(opened.rsplit("data: ", 1)[1])["error"]["message"]
    spoken = messages(http, sim, "error_event", stream=True).text
    assert "message_stop" not in spoken and "event: error\ndata: " in spoken
    assert "error" in json.loads(
        gemini(http, sim, "error_event", "streamGenerateContent?alt=sse").text.rsplit("data: ")[-1]
    )
    assert "error" in chat(http, sim, "error_event").json()
    url = sim.url + "/v1/responses"
    body = {"model": "sim-gpt:fault=error_event", "input": CANARY, "stream": True}
    answered = http.post(url, json=body, headers={"authorization": "Bearer k"}).text
    assert "event: error\n" in answered and "response.completed" not in answered


def test_no_terminator(http: httpx2.Client, sim: Running) -> None:
    assert "[DONE]" not in chat(http, sim, "no_terminator", **OPENAI_STREAM).text
    assert "message_stop" not in messages(http, sim, "no_terminator", stream=True).text
    assert "finishReason" not in gemini(http, sim, "no_terminator", "streamGenerateContent?alt=sse").text
    with pytest.raises(ValueError):
        gemini(http, sim, "no_terminator", "streamGenerateContent").json()


def test_redirect_names_a_path_that_nobody_need_follow(http: httpx2.Client, sim: Running, recorder: Recorder) -> None:
    recorder.clear()
    got = chat(http, sim, "redirect")
    assert got.status_code == 307 and got.headers["location"] == "/redirected"
    assert [r.path for r in recorder.requests] == ["/v1/chat/completions"]


def test_usage_faults(http: httpx2.Client, sim: Running) -> None:
    assert "usage" not in chat(http, sim, "no_usage").json()
    assert '"usage":{' not in chat(http, sim, "no_usage", **OPENAI_STREAM).text
    assert '"usage"' not in messages(http, sim, "no_usage", stream=True).text
    assert "usageMetadata" not in gemini(http, sim, "no_usage", "generateContent").json()
    assert chat(http, sim, "huge_usage").json()["usage"]["completion_tokens"] == 10**15
    assert messages(http, sim, "negative_usage").json()["usage"]["output_tokens"] == -5
    assert chat(http, sim, "text_usage").json()["usage"]["prompt_tokens"] == "many"


def test_huge_is_well_formed(http: httpx2.Client, sim: Running) -> None:
    got = chat(http, sim, "huge,mb=2")
    assert len(got.json()["choices"][0]["message"]["content"]) > 2 * 1024 * 1024
    assert len(chat(http, sim, "huge,mb=2", **OPENAI_STREAM).content) > 2 * 1024 * 1024


def test_slow_pieces_join_to_the_same_bytes(http: httpx2.Client, sim: Running) -> None:
    whole = chat(http, sim, "delay,ms=1", **OPENAI_STREAM).content
    body = {"model": "sim-gpt:fault=slow,bytes=1,ms=0", "messages": [{"role": "user", "content": CANARY}]}
    with http.stream(
        "POST", sim.url + "/v1/chat/completions", json={**body, **OPENAI_STREAM}, headers={"authorization": "Bearer k"}
    ) as got:
        pieces = list(got.iter_raw())
    assert b"".join(pieces) == whole and len(pieces) > 10


def test_hangs_until_the_client_leaves_and_says_so(sim: Running, recorder: Recorder) -> None:
    for fault in ("hang", "hang_midway", "delay,ms=60000"):
        recorder.clear()
        with httpx2.Client(timeout=0.2) as impatient, pytest.raises(httpx2.ReadTimeout):
            chat(impatient, sim, fault, **OPENAI_STREAM)
        assert recorder.wait_for(lambda r: r.disconnects == ["/v1/chat/completions"])


def test_times_lets_later_requests_through_and_each_simulator_counts_alone(http: httpx2.Client) -> None:
    with running() as one, running() as other:
        got = [chat(http, one, "503,times=2").status_code for _ in range(3)]
        assert got == [503, 503, 200] and chat(http, other, "503,times=2").status_code == 503


def test_split_refuses_what_it_doesnt_know() -> None:
    assert faults.split("sim-gpt") == ("sim-gpt", None)
    assert faults.split("sim-gpt:fault=429,retry_after=2") == ("sim-gpt", faults.Fault("429", (("retry_after", 2),)))
    with pytest.raises(ValueError):
        faults.split("sim-gpt:fault=explode")


def test_logs_nothing_even_at_debug(http: httpx2.Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with running() as server:
        chat(http, server, "500")
        with pytest.raises(httpx2.RemoteProtocolError):
            chat(http, server, "cut", **OPENAI_STREAM)
        # Garbage on the socket must not be quoted either.
        with socket.create_connection(("127.0.0.1", server.port)) as raw:
            raw.sendall(CANARY.encode() + b" / nonsense\r\n\r\n")
            raw.recv(1000)
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith(("httpx2", "httpcore2"))]
    assert CANARY not in "\n".join(ours)


def test_concurrent_requests_dont_mix(http: httpx2.Client, sim: Running) -> None:
    def one(number: int) -> bool:
        body = {"model": "sim-gpt", "messages": [{"role": "user", "content": f"number {number}."}]}
        got = http.post(sim.url + "/v1/chat/completions", json=body, headers={"authorization": "Bearer k"}).json()
        return got["choices"][0]["message"]["content"].endswith(f"number {number}.")

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one, range(40)))
