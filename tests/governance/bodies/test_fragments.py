"""Any fragment of 32 bytes that a value shares with a body in flight is found, and nothing else is."""

import asyncio
import json
import string
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.bodies import fragments
from governance.bodies.body import Body
from governance.bodies.fragments import Holding, Watch

TEXT = st.text(st.characters(codec="utf-8"), min_size=0, max_size=200)
# Few letters, so that blocks repeat and most of what looks alike isn't.
FEW = st.text("ab", min_size=0, max_size=200)


def body(*contents: str, ascii: bool = False) -> Body:
    messages = [{"role": "user", "content": each} for each in contents]
    return Body(json.dumps({"model": "up/model", "messages": messages}, ensure_ascii=ascii).encode())


def common(one: bytes, other: bytes) -> bool:
    """Whether 32 bytes in a row are in both, by trying each."""
    return any(one[at : at + 32] in other for at in range(len(one) - 31))


def filled(text: str) -> str:
    return "".join(letter * (index % 3 + 1) for index, letter in enumerate(text))


@given(st.one_of(TEXT, FEW), st.one_of(TEXT, FEW), st.data(), st.booleans())
@settings(max_examples=120, deadline=None)
def test_every_common_fragment_is_found_and_none_is_made_up(
    content: str, around: str, data: st.DataObject, ascii: bool
) -> None:
    content = filled(content)
    raw = content.encode()
    begin = data.draw(st.integers(0, len(raw)))
    end = data.draw(st.integers(begin, len(raw)))
    value = around.encode() + raw[begin:end] + around[::-1].encode()
    watch = Watch()
    made = body(content, ascii=ascii)
    watch.hold(made)
    runs = watch.find(value)
    texts = [raw, json.dumps(content, ensure_ascii=ascii)[1:-1].encode(), b"messages", b"content"]
    assert bool(runs) == any(common(value, text) for text in texts)
    for begin, end in runs:
        assert end - begin >= 32
    covered = {at for begin, end in runs for at in range(begin, end)}
    for at in range(len(value) - 31):
        if any(value[at : at + 32] in text for text in texts):
            assert not covered.isdisjoint(range(at, at + 32))


@given(st.lists(FEW, max_size=4), FEW)
@settings(max_examples=50, deadline=None)
def test_many_bodies_are_one_index(contents: list[str], value: str) -> None:
    watch = Watch()
    for content in contents:
        watch.hold(body(filled(content)))
    expected = any(common(filled(value).encode(), filled(content).encode()) for content in contents)
    assert bool(watch.find(filled(value).encode())) == expected


def sse(*events: dict[str, object]) -> bytes:
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events) + b"data: [DONE]\n\n"


def delta(text: str, index: int = 0) -> dict[str, object]:
    return {"id": "x", "choices": [{"index": index, "delta": {"content": text}}]}


ANSWER = "The lighthouse keeper's niece counted forty-one gulls before the fog came."


@given(st.lists(st.integers(1, 9), min_size=20, max_size=20), st.integers(1, 400))
@settings(max_examples=20, deadline=None)
def test_a_streams_pieces_are_put_together_however_they_are_cut(sizes: list[int], chunk: int) -> None:
    events, at = [], 0
    for size in sizes * 5:
        # A second choice in turns with the first.
        events += [delta(ANSWER[at : at + size]), delta("something else. "[: size + 2], 1)]
        at += size
    wire = sse(*events)
    watch = Watch()
    holding = watch.hold(body("hi"))
    for begin in range(0, len(wire), chunk):
        holding.add(wire[begin : begin + chunk])
        watch.find(b"a value that is looked at between two pieces")
    assert watch.find(f"log: {ANSWER[10:50]}".encode())
    assert not watch.find(b"The lighthouse keeper's nephew counted forty-two gulls")


def test_whole_answers_of_each_kind_are_read() -> None:
    array = b"[" + b",\r\n".join(
        json.dumps({"candidates": [{"content": {"parts": [{"text": ANSWER[at : at + 5]}]}}]}).encode()
        for at in range(0, len(ANSWER), 5)
    )
    responses = b"".join(
        b"event: x\ndata: " + json.dumps({"type": "response.output_text.delta", "delta": ANSWER[at : at + 7]}).encode() + b"\n\n"
        for at in range(0, len(ANSWER), 7)
    )  # fmt: skip
    for wire in (json.dumps({"choices": [{"message": {"content": ANSWER}}]}).encode(), array, array + b"]", responses,
                 f"<html>{ANSWER}</html>".encode(), json.dumps({"content": ANSWER}).encode()[:-4]):  # fmt: skip
        watch = Watch()
        watch.hold(body("hi")).add(wire)
        assert watch.find(ANSWER[7:60].encode()), wire


@pytest.mark.parametrize("data", [
    b'{"messages": [{"content": ' + ANSWER.encode() + b"}]}", ANSWER.encode(), b'{"a": "' + ANSWER.encode(),
    b"\xff\xfe" + ANSWER.encode(), b'{"content": "x", "content": "' + ANSWER.encode() + b'", "content": "y"}',
    b'{"' + ANSWER.encode() + b'": 1}', b'{"x": {"y": [["' + ANSWER.encode() + b'"]]}}',
])  # fmt: skip
def test_broken_bodies_duplicates_and_names_are_content_too(data: bytes) -> None:
    watch = Watch()
    watch.hold(Body(data))
    assert watch.find(b"..." + ANSWER[3:40].encode() + b"...")


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_nobody_makes_the_watch_fail_by_nesting(opening: bytes) -> None:
    deep = opening * 100_000 + json.dumps(ANSWER).encode()
    watch = Watch()
    watch.hold(Body(deep)).add(b"data: " + deep + b"\n\n")
    watch.hold(body("hi")).add(deep)
    assert watch.find(ANSWER.encode()) and not watch.find(b"a value that is in none of them, surely")


def test_the_undecoded_body_is_watched_where_it_differs() -> None:
    watch = Watch()
    made = body("é" * 60, ascii=True)
    watch.hold(made)
    assert watch.find(b"\\u00e9" * 8) and watch.find("é".encode() * 20)


def test_what_is_shared_by_two_bodies_stays_watched_when_the_first_ends() -> None:
    watch = Watch(linger_s=0.0)
    first, second = watch.hold(body(ANSWER)), watch.hold(body(ANSWER))
    assert watch.find(ANSWER.encode())
    watch.end(first)
    assert watch.find(ANSWER.encode())
    watch.end(second)
    assert not watch.find(ANSWER.encode())


def test_a_body_is_watched_a_while_after_its_end() -> None:
    watch = Watch(linger_s=0.2)
    watch.end(watch.hold(body(ANSWER)))
    assert watch.find(ANSWER.encode())
    threading.Event().wait(0.25)
    assert not watch.find(ANSWER.encode())


async def test_nothing_stays_in_memory_when_nobody_asks() -> None:
    watch = Watch(linger_s=0.05)
    watch.end(watch.hold(body(ANSWER)))
    watch.find(ANSWER.encode())
    await asyncio.sleep(0.4)
    assert repr(watch) == "<Watch 0 requests, 0 blocks>" and not watch._index._texts and not watch._live


def test_what_ended_is_bounded_and_the_oldest_goes_first() -> None:
    watch = Watch(ended_bytes_max=10_000)
    texts = ["".join(f"{number:04d}{letter}" for letter in string.ascii_letters * 8) for number in range(20)]
    for text in texts:
        watch.end(watch.hold(body(text)))
    assert watch._ended_bytes <= 10_000
    assert not watch.find(texts[0][:40].encode()) and watch.find(texts[-1][:40].encode())


def test_the_index_is_bounded_and_says_what_it_lost() -> None:
    watch = Watch(blocks_max=1000)
    kept: list[Holding] = []
    for number in range(40):
        kept.append(watch.hold(body(f"{number:04d} {ANSWER} " * 20)))
        watch.find(b"something that is not in any of them, surely")
    assert watch._index.blocks <= 1000 and watch.dropped > 0
    assert watch.find(f"0039 {ANSWER}".encode())


def test_of_a_huge_body_longer_fragments_are_found_and_its_cost_is_bounded() -> None:
    watch = Watch(body_blocks_max=256)
    text = "".join(f"<{number:06d}>" for number in range(50_000))
    watch.hold(body(text))
    assert watch.find(text[200_000:204_000].encode())
    assert watch._index.blocks <= 300


def test_an_answer_is_bounded_and_its_end_is_kept() -> None:
    watch = Watch(answer_bytes_max=4096)
    holding = watch.hold(body("hi"))
    for number in range(1000):
        holding.add(sse(delta(f"{number:06d} and {number * 7:08d} gulls, ")))
    assert holding.answer_bytes <= 4096
    assert watch.find(b"000999 and 00006993 gulls, ") is not None
    assert watch.find(b"000998 and 00006986 gulls, 000999 and 00006993 gulls")


def test_other_threads_may_ask_while_requests_come_and_go() -> None:
    watch = Watch(linger_s=0.0)
    steady = watch.hold(body(ANSWER))
    missed: list[int] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            if not watch.find(ANSWER.encode()):
                missed.append(1)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(300):
        holding = watch.hold(body(f"{number} {ANSWER}" * 3))
        holding.add(sse(delta(ANSWER)))
        watch.end(holding)
    done.set()
    for thread in threads:
        thread.join()
    assert missed == [] and not repr(steady).count("lighthouse")


async def test_a_request_is_held_for_its_block_and_its_tasks() -> None:
    watch = Watch()
    fragments.watch_with(watch)
    try:
        with fragments.held(body("hi")):
            await asyncio.ensure_future(_answered())
        assert watch.find(ANSWER.encode()) and watch.find(b"translated " + ANSWER.encode())
        fragments.answered(b"nobody's")
    finally:
        fragments.watch_with(None)
    with fragments.held(body(ANSWER)):
        fragments.sent(body(ANSWER))


async def _answered() -> None:
    fragments.sent(body("translated " + ANSWER))
    fragments.answered(json.dumps({"content": ANSWER}).encode())
