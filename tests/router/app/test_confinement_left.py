"""What processes leave of their confinement: it counts while they live."""

import os
from pathlib import Path

from governance.bodies.confine import Confinement, Kept, Measure
from router.app import confinement_left

HELD = Measure(Kept.WRITES, True, "Landlock 7")
NOT = Measure(Kept.SWAP, False, "1 swap area may take it", "turn swap off")


def test_it_counts_while_the_process_lives_and_is_cleared_away_after(tmp_path: Path) -> None:
    assert confinement_left.left(tmp_path) == []
    one, two = Confinement(7, (HELD, NOT)), Confinement(5, (HELD,))
    first, second = confinement_left.leave(tmp_path, one), confinement_left.leave(tmp_path, two)
    assert confinement_left.left(tmp_path) == [two, one]
    os.close(first)
    assert confinement_left.left(tmp_path) == [two]
    third = confinement_left.leave(tmp_path, Confinement(5, (NOT,)))  # the same number, in another container
    assert set(confinement_left.left(tmp_path)) == {two, Confinement(5, (NOT,))}
    files = list(confinement_left.folder(tmp_path).iterdir())
    assert len(files) == 2 and {file.stat().st_mode & 0o077 for file in files} == {0}
    os.close(second)
    os.close(third)
