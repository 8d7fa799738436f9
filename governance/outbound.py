"""Hosts that this process has sent something to, since it was last asked: who sends says so here, before it does."""

_hosts: set[str] = set()


def saw(host: str) -> None:
    """A host's name or address, without a port. Cheap enough for every request."""
    _hosts.add(host)


def take() -> frozenset[str]:
    """What was seen since the last time, in lower case."""
    seen = set(_hosts)
    _hosts.difference_update(seen)
    return frozenset(host.lower().rstrip(".") for host in seen)
