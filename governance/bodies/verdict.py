"""What a probe of bodies at rest comes to."""

from enum import StrEnum


class Verdict(StrEnum):
    """`void`: the run shows nothing, because its own control failed or nothing could be sent or searched."""

    CLEAN = "clean"
    LEAK = "leak"
    VOID = "void"
