"""Merkle trees as RFC 6962 section 2.1 defines them: hashes, roots, inclusion and consistency proofs. No I/O.

Proofs are lists of 32-byte hashes in the RFC's order. They are made by its recursive definitions and checked by the
iterative ones of RFC 9162 sections 2.1.3.2 and 2.1.4.2, so that one isn't the other's mirror image.
"""

import hashlib
from collections.abc import Callable, Iterable

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()
Subtree = Callable[[int, int], bytes]
"""MTH(D[start:end]), for ranges as the RFC's definitions split them."""


def leaf_hash(leaf: bytes) -> bytes:
    """MTH of one leaf: SHA-256(0x00 | leaf)."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 | left | right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def split(size: int) -> int:
    """The largest power of two smaller than `size`, which is at least two."""
    return 1 << ((size - 1).bit_length() - 1)


def root(hashes: Iterable[bytes]) -> bytes:
    """The root over leaf hashes."""
    level = list(hashes)
    if not level:
        return EMPTY_ROOT
    while len(level) > 1:
        paired = [node_hash(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
        # A node without a sibling goes up as it is: the same tree as the RFC's, built from below.
        level = paired + level[len(paired) * 2 :]
    return level[0]


def inclusion(position: int, size: int, subtree: Subtree) -> list[bytes]:
    """PATH(position, D[size]), RFC 6962 section 2.1.1."""
    if not 0 <= position < size:
        raise ValueError("no such leaf in a tree of this size")
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + split(end - start)
        if position < middle:
            path.append(subtree(middle, end))
            end = middle
        else:
            path.append(subtree(start, middle))
            start = middle
    path.reverse()
    return path


def consistency(old: int, new: int, subtree: Subtree) -> list[bytes]:
    """PROOF(old, D[new]), RFC 6962 section 2.1.2; empty where `old` is 0 or `new`."""
    if not 0 <= old <= new:
        raise ValueError("the older tree is the smaller one")
    if old in (0, new):
        return []
    proof: list[bytes] = []
    start, end, whole = 0, new, True  # whole: the older tree is still MTH(D[0:old]), which the verifier has
    while old != end:
        middle = start + split(end - start)
        if old <= middle:
            proof.append(subtree(middle, end))
            end = middle
        else:
            proof.append(subtree(start, middle))
            start, whole = middle, False
    if not whole:
        proof.append(subtree(start, end))
    proof.reverse()
    return proof


def includes(leaf: bytes, position: int, size: int, proof: list[bytes], root_hash: bytes) -> bool:
    """Whether a leaf hash is at a position of the tree with that root, RFC 9162 section 2.1.3.2."""
    if not 0 <= position < size:
        return False
    first, last, made = position, size - 1, leaf
    for step in proof:
        if last == 0:
            return False
        if first & 1 or first == last:
            made = node_hash(step, made)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            made = node_hash(made, step)
        first, last = first >> 1, last >> 1
    return last == 0 and made == root_hash


def extends(old: int, new: int, old_root: bytes, new_root: bytes, proof: list[bytes]) -> bool:
    """Whether the newer tree begins with the older one, RFC 9162 section 2.1.4.2; every tree extends the empty one."""
    if old == new:
        return not proof and old_root == new_root
    if old == 0:
        return not proof and old_root == EMPTY_ROOT
    if not 0 < old < new or not proof:
        return False
    steps = proof if old & (old - 1) else [old_root, *proof]
    first, last = old - 1, new - 1
    while first & 1:
        first, last = first >> 1, last >> 1
    made_old = made_new = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if first & 1 or first == last:
            made_old, made_new = node_hash(step, made_old), node_hash(step, made_new)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            made_new = node_hash(made_new, step)
        first, last = first >> 1, last >> 1
    return last == 0 and made_old == old_root and made_new == new_root


def peaks(size: int) -> list[tuple[int, int]]:
    """The whole subtrees that a tree consists of, as ranges of leaves, the largest first."""
    found, start = [], 0
    for height in reversed(range(size.bit_length())):
        if size >> height & 1:
            found.append((start, start + (1 << height)))
            start += 1 << height
    return found


class Leaves:
    """MTH of parts of a tree that is given by its leaf hashes from `start` on, and its peaks of before."""

    def __init__(self, start: int, before: list[bytes], hashes: list[bytes]) -> None:
        self._start = start
        self._hashes = hashes
        self._known = dict(zip(peaks(start), before, strict=True))

    def subtree(self, start: int, end: int) -> bytes:
        """Raises ValueError for a part of what was before that isn't one of its peaks."""
        known = self._known.get((start, end))
        if known is not None:
            return known
        length = end - start
        if length == 1:
            if start < self._start:
                raise ValueError("not given")
            return self._hashes[start - self._start]
        middle = start + split(length)
        made = node_hash(self.subtree(start, middle), self.subtree(middle, end))
        if not length & (length - 1):
            self._known[start, end] = made
        return made
