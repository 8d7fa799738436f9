"""Can the answer to an embeddings request be as small as what is taken here? Asked before a provider is, which would
have to be paid for an answer that nobody gets."""

from router.errors import InvalidRequest
from router.providers.catalog import Model
from router.providers.scan import Scan

# The least that a dimension takes: as JSON, 32-bit floats of real vectors take 12.6 bytes with their comma, unindented.
_FLOAT_BYTES = 12
_BASE64_BYTES = 4 * 4 / 3
_DIGITS_MAX = 9


def check_embeddings(body: Scan, model: Model, inputs: int, answer_bytes_max: int) -> None:
    """Raises InvalidRequest where the vectors can't fit; says nothing where nobody knows how long they are."""
    fields = dict(body.fields())
    dimensions = _whole(fields.get("dimensions", b"")) or model.dimensions
    binary = fields.get("encoding_format") == b'"base64"'
    if dimensions is None or inputs * dimensions * (_BASE64_BYTES if binary else _FLOAT_BYTES) <= answer_bytes_max:
        return
    mend = "Send fewer inputs at once" + (
        "." if binary else ", or ask for `encoding_format: base64`, which takes less."
    )
    raise InvalidRequest(
        f"{inputs} inputs of {dimensions} dimensions make an answer of more than {answer_bytes_max} bytes. {mend}",
        code="answer_too_large",
        param="input",
    )


def _whole(raw: bytes) -> int | None:
    return int(raw) if raw.isdigit() and len(raw) <= _DIGITS_MAX else None
