"""Texts by blocks: found wherever they begin, compared before they count, and never at any cost."""

import time

from hypothesis import given, settings
from hypothesis import strategies as st

from governance.bodies.block_index import BlockIndex

TEXT = b"The lighthouse keeper's niece counted forty-one gulls before the fog came."


@given(st.lists(st.binary(max_size=120), max_size=5), st.binary(max_size=60), st.data())
@settings(max_examples=60, deadline=None)
def test_what_is_dropped_is_found_no_more_and_the_rest_is(
    texts: list[bytes], around: bytes, data: st.DataObject
) -> None:
    index = BlockIndex()
    numbers = [index.add(text) for text in texts]
    gone = {number for number in numbers if data.draw(st.booleans())}
    for number in gone:
        index.drop(number)
    index._put += 1 << 20  # as if much had gone
    index.tidy()
    kept = [text for number, text in zip(numbers, texts, strict=True) if number not in gone]
    for text in texts:
        value = around + text + around
        common = any(value[at : at + 32] in each for at in range(len(value) - 31) for each in kept)
        assert bool(index.find(value)) == common


def test_a_text_that_grows_is_indexed_further() -> None:
    index, text = BlockIndex(), bytearray(TEXT[:20])
    number = index.add(text)
    assert not index.find(TEXT)
    for at in range(20, len(TEXT), 7):
        text += TEXT[at : at + 7]
        index.grown(number)
    assert index.find(b"..." + TEXT + b"...") == [(3, 3 + len(TEXT))]


def test_who_fills_the_index_with_one_block_hides_nothing_behind_it() -> None:
    index = BlockIndex()
    index.add(TEXT)
    index.add(b"".join(TEXT[:16] + b"%016d" % number for number in range(6000)))
    assert index.find(TEXT[:48]) == [(0, 48)] and index.overrun == 0
    assert not index.find(TEXT[:16] + b" and something else altogether") and index.overrun == 1


def test_a_value_that_looks_like_everything_is_given_up_on_soon() -> None:
    index = BlockIndex()
    value = bytes(range(32, 127)) * 3
    blocks = b"".join(value[at : at + 16] for at in range(200))
    for number in range(100):
        index.add(b"%08d" % number * 12_500 + blocks)
    begun = time.process_time()
    assert index.find(b"x".join(value[at : at + 16] for at in range(0, 200, 17))) == [] and index.overrun == 1
    assert time.process_time() - begun < 2


def test_a_values_both_ends_are_looked_at_where_it_is_huge() -> None:
    index = BlockIndex()
    index.add(TEXT)
    noise = bytes(range(33, 127)) * 10_000
    assert index.find(TEXT + noise) == [(0, len(TEXT))]
    assert index.find(noise + TEXT) == [(len(noise), len(noise + TEXT))]
