"""What one case is: a request, as whom, how the upstream misbehaves to it, and the canaries that it carries."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from router.probe.canaries import Marks
from router.surface import Dialect, Endpoint

GOOD = "good"


class Credential(StrEnum):
    """As whom a request is sent; `OWN` means that its head says so itself."""

    GOOD = "good"
    POOR = "without Credits"
    LIMITED = "rate-limited"
    OWN = "as sent"


class Leave(StrEnum):
    """When the caller leaves before the answer is whole."""

    IN_BODY = "in its own body"
    WAITING = "while it waits"
    IN_ANSWER = "within the answer"


@dataclass(frozen=True, slots=True)
class Lane:
    """One way through a gateway: the caller's wire, endpoint, model and mode."""

    name: str
    wire: Dialect
    endpoint: Endpoint
    model: str
    stream: bool = False
    json_array: bool = False  # Google's stream without `alt=sse`

    @property
    def generates(self) -> bool:
        """Whether the answer holds a text."""
        return self.endpoint not in (Endpoint.EMBEDDINGS, Endpoint.COUNT_TOKENS, Endpoint.GOOGLE_COUNT_TOKENS)


Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True, repr=False)
class Request:
    """What goes over the wire. `raw` replaces everything else; `declared` is a content-length that isn't the body's.

    `chunked` sends the body in pieces with their sizes. The sender adds host, key and length where `headers` don't.
    """

    method: bytes = b"POST"
    target: bytes = b"/"
    headers: Headers = ()
    body: bytes | None = None
    chunked: bool = False
    declared: int | None = None
    raw: bytes | None = None
    leave: Leave | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Case:
    """`lane` is None where no gateway endpoint is asked. `fault` names what the upstream does (`upstream/faults`).

    The request is built when it is sent, since some are large; its canaries are the same each time.
    """

    name: str
    marks: Marks
    build: Callable[[Marks], Request]
    lane: Lane | None = None
    credential: Credential = Credential.GOOD
    fault: str = GOOD

    @property
    def tag(self) -> str:
        return self.marks.tag

    @property
    def plain(self) -> bool:
        """Whether a gateway that works carries it: a good key, a good answer, an endpoint whose answer holds a text."""
        return (
            self.lane is not None
            and self.lane.generates
            and self.credential is Credential.GOOD
            and self.fault == GOOD
            and self.name.endswith("/" + GOOD)
        )

    def request(self) -> Request:
        return self.build(self.marks)


@dataclass(slots=True)
class Cases:
    """Collects cases and gives each its tag. `keep` decides by name which are made at all: a sample makes few."""

    keep: Callable[[str], bool] = lambda name: True
    made: list[Case] = field(default_factory=list)
    _number: int = 0

    def add(
        self,
        name: str,
        build: Callable[[Marks], Request],
        *,
        lane: Lane | None = None,
        credential: Credential = Credential.GOOD,
        fault: str = GOOD,
    ) -> None:
        if not self.keep(name):
            return
        marks = Marks(name, self._number)
        self._number += 1
        self.made.append(Case(name, marks, build, lane, credential, fault))


def only(names: Sequence[str]) -> Callable[[str], bool]:
    """Keeps cases whose name holds one of these words."""
    return lambda name: any(word in name for word in names)
