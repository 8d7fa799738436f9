"""Open keys in memory, bounded in number and time, and good under one generation of the channel alone."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from governance.datamap import DataUse, KeyBasis
from governance.recent import Recent
from governance.vault.envelope import Key
from governance.vault.stored_key import Kind


@dataclass(frozen=True, slots=True)
class OpenKey:
    """A key that may be used now, and whose it is."""

    key: Key
    kind: Kind
    subject_id: UUID | None
    basis: KeyBasis | None
    slot: str | None


class KeyCache:
    """What one process knows of the keys. `generation` is the channel's; `forget_nodes` drops open nodes with the rest.

    Take `generation()` before a read that fills the cache, and hand it in with what was read: what changed meanwhile
    may be missing from it, and isn't kept.
    """

    def __init__(
        self, generation: Callable[[], int | None], forget_nodes: Callable[[], None], size: int, seconds: float
    ) -> None:
        self.generation = generation
        self._forget_nodes = forget_nodes
        self._seen: int | None = None
        self._keys: Recent[UUID, OpenKey] = Recent(size, seconds)
        self._slots: Recent[str, UUID] = Recent(size, seconds)
        self._refused: Recent[UUID, frozenset[DataUse]] = Recent(size, seconds)
        self._absent: Recent[str, bool] = Recent(size, seconds)

    def key(self, key_id: UUID) -> OpenKey | None:
        return self._keys.get(key_id) if self._is_fresh() else None

    def in_slot(self, slot: str) -> OpenKey | None:
        key_id = self._slots.get(slot) if self._is_fresh() else None
        return self._keys.get(key_id) if key_id is not None else None

    def keep(self, found: OpenKey, generation: int | None) -> None:
        if self._still(generation):
            self._keys.put(found.key.id, found)
            if found.slot is not None:
                self._slots.put(found.slot, found.key.id)

    def is_absent(self, slot: str) -> bool:
        """Whether the slot was looked up, and found empty."""
        return self._is_fresh() and self._absent.get(slot) is not None

    def keep_absent(self, slot: str, generation: int | None) -> None:
        if self._still(generation):
            self._absent.put(slot, True)

    def refused(self, subject_id: UUID) -> frozenset[DataUse] | None:
        return self._refused.get(subject_id) if self._is_fresh() else None

    def keep_refused(self, subject_id: UUID, uses: frozenset[DataUse], generation: int | None) -> None:
        if self._still(generation):
            self._refused.put(subject_id, uses)

    def forget(self, subject_id: UUID | None = None) -> None:
        """Drop what is of one subject, or everything."""
        if subject_id is None:
            self._keys.clear()
            self._slots.clear()
            self._refused.clear()
            self._absent.clear()
            self._forget_nodes()
        else:
            self._keys.drop(lambda found: found.subject_id == subject_id)
            self._refused.forget(subject_id)

    def _is_fresh(self) -> bool:
        """Whether what is cached may be used; forgets it where the generation has gone on."""
        generation = self.generation()
        if generation is None or generation != self._seen:
            self.forget()
            self._seen = generation
        return generation is not None

    def _still(self, generation: int | None) -> bool:
        """Whether what was read since that generation is still as it was."""
        return self._is_fresh() and generation == self._seen
