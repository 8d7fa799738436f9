"""`Sealed[T]`: a personal value that never opens by itself.

It prints as `***`, can't be pickled, compared with a plain value, iterated or put in a template; `open(use)` returns
the value only where its column declares that use (Art. 5(1)(b)). Openings are counted by column and use.
"""

from collections import Counter
from typing import Any, Generic, Never, TypeVar
from uuid import UUID

import msgspec

from governance.datamap import DataUse, Declaration
from governance.errors import KeyUnavailable, UseRefused
from governance.ids import NIL
from governance.vault import envelope
from governance.vault.keys import KeyStore

T = TypeVar("T")
openings: Counter[tuple[str, DataUse]] = Counter()


class Sealed(Generic[T]):
    """An envelope with what is needed to open it: declaration, subject and row. Unbound until its row is loaded."""

    __slots__ = ("_declaration", "_envelope", "_keys", "_kind", "_name", "_row_id", "_subject_id")

    def __init__(self, sealed: bytes, kind: type[T], declaration: Declaration | None = None, name: str = "") -> None:
        self._envelope = sealed
        self._kind = kind
        self._declaration = declaration
        self._name = name
        self._subject_id: UUID | None = None
        self._row_id: UUID | None = None
        self._keys: KeyStore | None = None

    def bind(self, subject_id: UUID | None, row_id: UUID, keys: KeyStore, declaration: Declaration, name: str) -> None:
        """Tell the handle where it rests: a value moved elsewhere fails to open."""
        self._subject_id, self._row_id, self._keys = subject_id or NIL, row_id, keys
        self._declaration, self._name = declaration, name

    @property
    def envelope(self) -> bytes:
        """The sealed bytes, as they rest."""
        return self._envelope

    async def open(self, use: DataUse) -> T:
        """The value, for one declared use.

        Raises UseRefused (the column doesn't declare it), KeyUnavailable (erased) or SealBroken (altered or moved).
        """
        declaration, keys, row_id, subject_id = self._declaration, self._keys, self._row_id, self._subject_id
        if declaration is None or keys is None or row_id is None or subject_id is None:
            raise RuntimeError("a sealed value opens only on the row that it was loaded with")
        if use not in declaration.data_uses:
            raise UseRefused(f"{self._name} may not be opened for {use.value}: it doesn't declare that use.")
        key = await (keys.service_key("values") if subject_id == NIL else keys.subject_key(subject_id))
        context = envelope.column_context(declaration.seal_id, subject_id, row_id)
        plain = envelope.open_envelope(key, self._envelope, context)
        openings[self._name, use] += 1
        try:
            return msgspec.msgpack.decode(plain, type=self._kind)
        except msgspec.DecodeError:
            raise KeyUnavailable(f"{self._name} holds a value of another type than declared.") from None

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "***"

    def __html__(self) -> Never:
        raise TypeError("a sealed value can't be rendered; open it for a use first")

    def __reduce_ex__(self, protocol: object) -> Never:
        raise TypeError("a sealed value can't be pickled or copied")

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Sealed):
            return self._envelope == other._envelope
        raise TypeError("a sealed value can't be compared with a plain one")

    __hash__ = object.__hash__

    def __iter__(self) -> Never:
        raise TypeError("a sealed value can't be iterated")

    def __len__(self) -> Never:
        raise TypeError("a sealed value has no length; ask after opening it")


async def seal_value(
    keys: KeyStore, declaration: Declaration, name: str, kind: type[T], value: T, subject_id: UUID | None, row_id: UUID
) -> Sealed[T]:
    """Seal one value for one column of one row."""
    if not isinstance(value, kind):
        raise TypeError(f"{name} takes {kind.__name__}")
    subject = subject_id or NIL
    key = await (keys.service_key("values") if subject == NIL else keys.subject_key(subject))
    context = envelope.column_context(declaration.seal_id, subject, row_id)
    sealed = Sealed(envelope.seal(key, msgspec.msgpack.encode(value), context), kind)
    sealed.bind(subject_id, row_id, keys, declaration, name)
    return sealed


def bind_loaded(target: Any, names: tuple[str, ...], keys: KeyStore) -> None:
    """Bind the handles of a row just loaded."""
    for name in names:
        handle = target.__dict__.get(name)
        if isinstance(handle, Sealed):
            column = target.__table__.columns[name]
            handle.bind(
                target.subject_id, target.id, keys, column.info["declaration"], f"{target.__tablename__}.{name}"
            )
