"""placeholder"""

from governance.bodies.probe_run import Result
from router.app.self_probe import Running, Unprobed


async def probe(running: Running) -> Result:
    raise Unprobed("There is no probe yet.")
