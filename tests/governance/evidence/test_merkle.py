"""RFC 6962 trees: against the RFC's definitions written out once more, and the vectors of the reference implementation."""

import hashlib

import pytest

from governance.evidence import merkle
from governance.evidence.merkle import Leaves, consistency, extends, includes, inclusion, leaf_hash

# Leaves and roots of certificate-transparency's test vectors (google/certificate-transparency, merkle_tree_test.cc).
LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def mth(leaves: list[bytes]) -> bytes:
    """The RFC's own recursion."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def tree(size: int) -> tuple[list[bytes], list[bytes]]:
    leaves = [b"leaf %d" % number for number in range(size)]
    return leaves, [leaf_hash(leaf) for leaf in leaves]


def test_the_reference_vectors() -> None:
    hashes = [leaf_hash(bytes.fromhex(leaf)) for leaf in LEAVES]
    assert [merkle.root(hashes[: size + 1]).hex() for size in range(8)] == ROOTS
    assert merkle.root([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 8, 11, 16, 21])
def test_every_proof_of_a_tree_holds_and_no_other(size: int) -> None:
    leaves, hashes = tree(size)
    root, subtree = mth(leaves), Leaves(0, [], hashes).subtree
    assert merkle.root(hashes) == root == subtree(0, size)
    for position in range(size):
        proof = inclusion(position, size, subtree)
        assert includes(hashes[position], position, size, proof, root)
        for wrong in (position - 1, position + 1, size):
            assert not includes(hashes[position], wrong, size, proof, root)
        assert not includes(leaf_hash(b"other"), position, size, proof, root)
        assert not includes(hashes[position], position, size, [*proof, root], root)
        for at in range(len(proof)):
            assert not includes(hashes[position], position, size, proof[:at] + proof[at + 1 :], root)
            assert not includes(hashes[position], position, size, [*proof[:at], b"\0" * 32, *proof[at + 1 :]], root)
    for old in range(size + 1):
        proof, old_root = consistency(old, size, subtree), mth(leaves[:old])
        assert extends(old, size, old_root, root, proof)
        assert old == 0 or not extends(old, size, leaf_hash(b"other"), root, proof)
        assert old == 0 or not extends(old, size, old_root, leaf_hash(b"other"), proof)
        assert not extends(old, size, old_root, root, [*proof, root])
        for at in range(len(proof)):
            assert not extends(old, size, old_root, root, proof[:at] + proof[at + 1 :])
            assert not extends(old, size, old_root, root, [*proof[:at], b"\0" * 32, *proof[at + 1 :]])


def test_a_tree_whose_beginning_was_changed_is_no_continuation() -> None:
    leaves, hashes = tree(13)
    changed = [*hashes[:3], leaf_hash(b"changed"), *hashes[4:]]
    proof = consistency(7, 13, Leaves(0, [], changed).subtree)
    assert not extends(7, 13, mth(leaves[:7]), merkle.root(changed), proof)


@pytest.mark.parametrize("since", [0, 1, 6, 8, 13, 63, 64, 100])
def test_leaves_from_a_position_on_make_every_later_root(since: int) -> None:
    leaves, hashes = tree(100)
    whole = Leaves(0, [], hashes)
    part = Leaves(since, [whole.subtree(*peak) for peak in merkle.peaks(since)], hashes[since:])
    for size in range(max(since, 1), 101):
        assert part.subtree(0, size) == mth(leaves[:size])
        if since:
            old_root = mth(leaves[:since])
            assert extends(since, size, old_root, mth(leaves[:size]), consistency(since, size, part.subtree))


def test_positions_that_are_none_are_refused() -> None:
    subtree = Leaves(0, [], tree(3)[1]).subtree
    for position in (-1, 3):
        with pytest.raises(ValueError):
            inclusion(position, 3, subtree)
    with pytest.raises(ValueError):
        consistency(4, 3, subtree)
