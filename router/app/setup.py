"""How a serving process is set up, as far as it decides where content could come to rest: a probe's result is about a
program in a setup, and says nothing of another. Kinds and words alone: no address, path or secret.
"""

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib import metadata

from governance.bodies import confine
from governance.bodies.probe_run import About
from router.app import confinement_left, outputs
from router.probe import program
from router.settings import Settings

Facts = Mapping[str, object]


def facts(settings: Settings) -> Facts:
    """Of this process: what it is confined to as it was found, which layers run, what it writes to, what it is made of."""
    confined = confine.current()
    stores = {"data": settings.data_store(), "keys": settings.key_store()}
    return {
        "confinement": {measure.name.value: measure.held for measure in confined.measures} if confined else {},
        "guard": settings.body_guard,
        "write_watch": settings.write_watch,
        "stores": {name: url.partition("+")[0] for name, url in stores.items()},
        "redis": settings.redis_url is not None,
        "keyring": settings.keyring.partition(":")[0],
        "prints_to": [place if place in outputs.KINDS else "file" for place in outputs.current()],
        "named_logs": len(settings.self_probe_logs),
        "distributions": {"sha256": _distributions()},
    }


def running(settings: Settings) -> About:
    """The program of these files in the setup of the service that runs on this home, by what its processes left."""
    setups = confinement_left.setups(settings.run_folder)
    digests = {digest(each) for each in setups}
    # Processes that are set up differently are like no run of the probe.
    setup = digests.pop() if len(digests) == 1 else "several" if digests else None
    return About(program.digest(), setup, setups[0] if setups and setup != "several" else {})


def digest(told: Facts) -> str:
    """SHA-256 over the facts in canonical JSON, hex."""
    return hashlib.sha256(json.dumps(told, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@cache
def _distributions() -> str:
    """Over name and version of every installed distribution, a line each, in order of name."""
    lines = sorted({f"{each.metadata['Name']}=={each.version}\n".lower() for each in metadata.distributions()})
    return hashlib.sha256("".join(lines).encode()).hexdigest()
