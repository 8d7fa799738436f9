"""Embeddings whose answer can't fit are refused, those that may fit aren't."""

import json
import random
import struct

import pytest

from router.errors import InvalidRequest
from router.gateway.answer_size import check_embeddings
from router.providers.catalog import Model
from router.providers.dialects.openai import GOVERNED
from router.providers.scan import scan

MIB = 1 << 20


def check(inputs: int, of_model: int | None, answer_bytes_max: int = 64 * MIB, **fields: object) -> None:
    body = scan(json.dumps({"model": "m", "input": ["a"], **fields}).encode(), GOVERNED)
    check_embeddings(body, Model("m", 8192, 1, (), of_model), inputs, answer_bytes_max)


def test_a_full_batch_of_long_vectors_fits_as_base64_alone() -> None:
    with pytest.raises(InvalidRequest, match="fewer inputs at once, or ask for `encoding_format: base64`") as caught:
        check(2048, 3072)
    assert (caught.value.code, caught.value.param) == ("answer_too_large", "input")
    with pytest.raises(InvalidRequest):
        check(2048, 3072, encoding_format="float")
    check(2048, 3072, encoding_format="base64")
    check(1700, 3072)
    check(2048, 1536)


def test_base64_can_be_too_much_as_well_and_isnt_advised_then() -> None:
    with pytest.raises(InvalidRequest, match="fewer inputs") as caught:
        check(2048, 3072, 31 * MIB, encoding_format="base64")
    assert "base64" not in caught.value.message


def test_what_is_asked_for_counts_before_what_the_model_has() -> None:
    check(2048, 3072, dimensions=256)
    with pytest.raises(InvalidRequest):
        check(2048, 256, dimensions=3072)


@pytest.mark.parametrize("dimensions", [None, 0, "3072", -1, 10**30, 1.5, True])
def test_what_nobody_knows_is_not_refused(dimensions: object) -> None:
    check(2048, None, dimensions=dimensions)


def test_no_vector_of_unit_length_is_shorter_than_what_is_counted() -> None:
    """Each number in as few digits as name the same 32-bit float."""
    drawn = random.Random(1)

    def shortest(value: float) -> str:
        [single] = struct.unpack("f", struct.pack("f", value))
        texts = (f"{single:.{digits}g}" for digits in range(1, 10))
        return next(text for text in texts if struct.unpack("f", struct.pack("f", float(text)))[0] == single)

    for size in (256, 1536, 3072):
        vector = ",".join(shortest(drawn.gauss(0, size**-0.5)) for _ in range(size))
        with pytest.raises(InvalidRequest):
            check(1000, size, 1000 * 11 * size)
        check(1000, size, 1000 * len(vector))
