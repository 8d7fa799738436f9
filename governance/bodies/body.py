"""`Body`: prompt and completion bytes with no text form.

Policy section 3: "We do NOT store the content of your API requests (prompts) or the resulting completions."
A body can't be printed, logged, formatted, pickled, copied, compared or bound as an SQL parameter; it shows its
length and a random tag that means nothing outside this process. Only `router/gateway` and `router/providers` may
call `expose()`; `tests/test_house.py` holds that.
"""

import secrets
from typing import Never, final


@final
class Body:
    """Opaque bytes. `len(body)` is all that anyone but the upstream client and the response writer may know."""

    __slots__ = ("_data", "_tag")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._tag = ""

    def expose(self) -> bytes:
        """The bytes themselves, for `router/gateway` and `router/providers` alone."""
        return self._data

    def __len__(self) -> int:
        return len(self._data)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        if not self._tag:
            self._tag = secrets.token_hex(4)
        return f"<Body {len(self._data)} bytes #{self._tag}>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return self.__repr__()

    def __reduce_ex__(self, protocol: object) -> Never:
        raise TypeError("a Body can't be pickled or copied")

    def __bytes__(self) -> Never:
        raise TypeError("a Body has no bytes form; only the gateway may expose it")

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__
