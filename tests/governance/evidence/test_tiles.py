"""Tiles as files: the specification's examples, roots from them, and that nothing is ever rewritten."""

from pathlib import Path

import pytest

from governance.errors import Conflict, Rejected
from governance.evidence import merkle
from governance.evidence.tiles import ENTRIES, Tiles, bundle, levels, tile_path, unbundle, widths, write_once


def test_the_specifications_examples() -> None:
    assert tile_path(0, 1234067) == "tile/0/x001/x234/067"
    assert tile_path(3, 7, 12) == "tile/3/007.p/12"
    assert tile_path(ENTRIES, 1000) == "tile/entries/x001/000"
    # c2sp.org/tlog-tiles: a tree of 70,000, and one of 256.
    found = {level: list(widths(level, 70_000)) for level in range(levels(70_000))}
    assert (len(found[0]), found[0][-1], found[0][-2][1]) == (274, (273, 112), 256)
    assert found[1] == [(0, 256), (1, 17)] and found[2] == [(0, 1)]
    assert [list(widths(level, 256)) for level in range(levels(256))] == [[(0, 256)], [(0, 1)]]


def test_a_bundle_is_taken_apart_again_and_a_cut_one_isnt() -> None:
    entries = [b"", b"a", b"b" * 300]
    assert unbundle(bundle(entries)) == entries
    for cut in (1, 2, 4, 200):
        with pytest.raises(Rejected):
            unbundle(bundle(entries)[:-cut])


@pytest.mark.parametrize("step", [19, 255, 256, 257, 700])
def test_a_log_that_grows_has_the_root_of_its_leaves(
    tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", lambda handle: None)
    leaves = [b"%d" % number for number in range(600)]
    hashes = [merkle.leaf_hash(leaf) for leaf in leaves]
    size = 0
    while size < 600:
        more = leaves[size : size + step]
        new = Tiles(tmp_path).extend(size, more)
        tiles = Tiles(tmp_path)
        assert tiles.root(new) == merkle.root(hashes[:new])
        tiles.prune(size, new)
        if size:
            proof = merkle.consistency(size, new, tiles.subtree(new))
            assert merkle.extends(size, new, merkle.root(hashes[:size]), tiles.root(new), proof)
        size = new
    tiles = Tiles(tmp_path)
    assert [entry for _, entry in tiles.between(0, 600, 600)] == leaves
    assert [position for position, _ in tiles.between(250, 300, 600)] == list(range(250, 300))
    # Partial tiles of tiles that are full are gone; the newest of every level is there.
    assert not (tmp_path / "tile/0/000.p").exists() and (tmp_path / "tile/0/002.p/88").exists()
    assert tiles.subtree(600)(0, 300) == merkle.root(hashes[:300])  # of an older tree, out of the newest's tiles
    for position in (0, 255, 256, 599):
        proof = merkle.inclusion(position, 600, tiles.subtree(600))
        assert merkle.includes(hashes[position], position, 600, proof, tiles.root(600))


def test_a_tree_of_three_levels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda handle: None)
    leaves = [number.to_bytes(4, "big") for number in range(70_000)]
    assert Tiles(tmp_path).extend(0, leaves) == 70_000
    tiles = Tiles(tmp_path)
    assert tiles.root(70_000) == merkle.root(map(merkle.leaf_hash, leaves))
    assert (tmp_path / "tile/2/000.p/1").stat().st_size == 32 and (tmp_path / "tile/1/001.p/17").exists()


def test_a_tile_is_never_written_with_other_content(tmp_path: Path) -> None:
    Tiles(tmp_path).extend(0, [b"a", b"b"])
    Tiles(tmp_path).extend(0, [b"a", b"b"])  # once more, as after a crash
    with pytest.raises(Conflict, match="other content"):
        Tiles(tmp_path).extend(0, [b"a", b"c"])
    write_once(tmp_path / "file", b"x")
    with pytest.raises(Conflict):
        write_once(tmp_path / "file", b"y")
    assert (tmp_path / "file").read_bytes() == b"x" and (tmp_path / "file").stat().st_mode & 0o777 == 0o600


def test_what_is_missing_or_cut_is_no_tile(tmp_path: Path) -> None:
    Tiles(tmp_path).extend(0, [b"a", b"b", b"c"])
    file = tmp_path / "tile/0/000.p/3"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(Conflict):
        Tiles(tmp_path).root(3)
    file.unlink()
    with pytest.raises(Conflict):
        Tiles(tmp_path).root(3)
    (tmp_path / "tile/entries/000.p/3").unlink()
    with pytest.raises(Conflict):
        Tiles(tmp_path).entries(0, 3)
