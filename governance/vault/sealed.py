"""`Sealed[T]`: a personal value that never opens by itself.

It prints as `***`, can't be pickled, compared with a plain value, iterated or put in a template; `open(use)` returns
the value only where its column declares that use (Art. 5(1)(b)), the work was begun for it (`purpose`), and the
subject's key still serves it. Openings are counted by column, use, actor and hour (`openings`).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Generic, Never, TypeVar
from uuid import UUID

import msgspec

from governance import sinks
from governance.datamap import DataUse, Declaration
from governance.errors import KeyUnavailable, SealBroken, UseRefused
from governance.ids import NIL
from governance.vault import envelope
from governance.vault import purpose as purposes
from governance.vault.keys import KeyStore
from governance.vault.stored_key import Kind

T = TypeVar("T")


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
        purpose = purposes.current(use, self._name)
        if subject_id != NIL:
            await keys.uses.check(subject_id, declaration.on_erasure.basis, use)
            await keys.openings.watch(subject_id, use, purpose)
        context = envelope.column_context(declaration.seal_id, subject_id, row_id)
        plain = await open_sealed(keys, self._envelope, subject_id, context)
        try:
            value = msgspec.msgpack.decode(plain, type=self._kind)
        except msgspec.DecodeError:
            raise KeyUnavailable(f"{self._name} holds a value of another type than declared.") from None
        if subject_id != NIL and purpose.actor in purposes.STAFF:
            if keys.record_staff is None:
                raise UseRefused(f"{self._name} may not be opened by staff: there is nowhere to record it.")
            await keys.record_staff(subject_id, self._name, use, purpose)
        keys.openings.count(self._name, use, purpose)
        sinks.read(value)
        return value

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


async def open_all(handles: Sequence[Sealed[T]], use: DataUse) -> list[T]:
    """Several values, in order, their keys found by one read. Raises as `Sealed.open` does, for the first that fails."""
    if handles and (keys := handles[0]._keys) is not None:
        await keys.preload({handle._subject_id for handle in handles if handle._subject_id})
    return [await handle.open(use) for handle in handles]


async def open_sealed(keys: KeyStore, sealed: bytes, subject_id: UUID, context: bytes) -> bytes:
    """The bytes of an envelope under its subject's key (the service's where it has none), and the one that limits it.

    Raises KeyGone (erased, or its period is over), KeyUnavailable or SealBroken.
    """
    first, second = envelope.key_ids(sealed)
    key = await keys.key(first)
    if (key.subject_id or NIL) != subject_id or key.kind not in (Kind.SUBJECT, Kind.SERVICE):
        raise SealBroken("The sealed value is under the key of another subject.")
    limit = await keys.key(second) if second is not None else None
    return envelope.open_envelope(key.key, sealed, context, limit=limit.key if limit is not None else None)


async def seal_value(
    keys: KeyStore,
    declaration: Declaration,
    name: str,
    kind: type[T],
    value: T,
    subject_id: UUID | None,
    row_id: UUID,
    at: datetime,
) -> Sealed[T]:
    """Seal one value for one column of one row, made at `at`: its declaration picks the keys.

    Raises KeyGone where the subject is erased, or the value's period is over already.
    """
    if not isinstance(value, kind):
        raise TypeError(f"{name} takes {kind.__name__}")
    subject, basis = subject_id or NIL, declaration.on_erasure.basis
    key = await (keys.service_key("values") if subject == NIL else keys.subject_key(subject, basis))
    limit = await keys.limit_key(declaration.retention, basis, subject_id, row_id, at)
    context = envelope.column_context(declaration.seal_id, subject, row_id)
    sealed = Sealed(envelope.seal(key, msgspec.msgpack.encode(value), context, limit=limit), kind)
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
