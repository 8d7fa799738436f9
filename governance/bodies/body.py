"""`Body`: prompt and completion bytes with no text form.

Policy section 3: "We do NOT store the content of your API requests (prompts) or the resulting completions."
A body can't be printed, logged, formatted, pickled, copied, compared or bound as an SQL parameter; it shows its
length and a tag. The tag is random and the same for all bodies of one request, where its maker says which request
that is; it is never made from the bytes. Only `router/gateway` and `router/providers` may call `expose()`;
`tests/test_body_rules.py` holds that.

The bytes lie in a slot whose descriptor is taken off the class: no attribute reaches them, so what walks through
attributes (`vars`, `inspect.getmembers`, debuggers' and trackers' serialisers, `object.__getstate__`) finds nothing.
That is against mistakes, not against code that means to: `gc.get_referents` would, which a house rule refuses.
"""

import secrets
from typing import Any, Never, final


@final
class Body:
    """Opaque bytes. `len(body)` is all that anyone but the upstream client and the response writer may know.

    `tag` names the request (`RequestName.tag`); without one a body has a random tag of its own.
    """

    __slots__ = ("_data", "_tag")

    def __init__(self, data: bytes, tag: str = "") -> None:
        _set_data(self, data)
        _set_tag(self, tag)

    def __init_subclass__(cls) -> Never:
        raise TypeError("a Body has no subclass: it could show what this one doesn't")

    def expose(self) -> bytes:
        """The bytes themselves, for `router/gateway` and `router/providers` alone."""
        data: bytes = _data_of(self)
        return data

    def of_same_request(self, data: bytes) -> "Body":
        """Other bytes of the same request, under its tag."""
        return Body(data, self.tag)

    @property
    def tag(self) -> str:
        """Eight hex digits or so: random, and the same for all bodies of one request."""
        tag: str = _tag_of(self)
        if not tag:
            tag = secrets.token_hex(4)
            _set_tag(self, tag)
        return tag

    def __len__(self) -> int:
        return len(_data_of(self))

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<Body {len(self)} bytes #{self.tag}>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return self.__repr__()

    def __setattr__(self, name: str, value: object) -> Never:
        # `__class__` too: another class with the same slots could read them.
        raise AttributeError("a Body can't be changed")

    __delattr__: Any = __setattr__

    def __reduce_ex__(self, protocol: object) -> Never:
        raise TypeError("a Body can't be pickled or copied")

    def __reduce__(self) -> Never:
        raise TypeError("a Body can't be pickled or copied")

    def __getstate__(self) -> Never:
        raise TypeError("a Body can't be pickled or copied")

    def __copy__(self) -> Never:
        raise TypeError("a Body can't be pickled or copied")

    def __deepcopy__(self, memo: object) -> Never:
        raise TypeError("a Body can't be pickled or copied")

    def __bytes__(self) -> Never:
        raise TypeError("a Body has no bytes form; only the gateway may expose it")

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__


_slots: Any = Body.__dict__
_data_of, _set_data = _slots["_data"].__get__, _slots["_data"].__set__
_tag_of, _set_tag = _slots["_tag"].__get__, _slots["_tag"].__set__
for _name in Body.__slots__:
    delattr(Body, _name)
