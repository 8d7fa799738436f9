"""A Redis client that the guard looks over: a command that holds a fragment of a body in flight isn't sent."""

import re
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from governance import sinks

PREFIX: Final = b"{valueapi-rl}:"
_CELL: Final = re.compile(PREFIX.replace(b"{", rb"\{") + b"[0-9a-f]{32}")  # a keyed hash, as every request sends


class Withheld(RedisError):
    """The command wasn't sent. To its caller Redis is away, and what that means is decided there already."""


class GuardedRedis(Redis):
    """Every Redis client of the service is one. It has no pipelines: their commands would go round the guard."""

    _digests: frozenset[str] = frozenset()

    def register_script(self, script: Any) -> Any:
        """As the client's; a script's digest is ours like the script."""
        made = super().register_script(script)
        self._digests |= {made.sha}
        return made

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """As the client's. Raises Withheld."""
        texts = [arg for arg in args if not self._ours(arg)]
        if sinks.withholds(sinks.Sink.REDIS, texts):
            raise Withheld("A command was not sent: it held what must not be stored.")
        return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]

    def _ours(self, arg: object) -> bool:
        return (isinstance(arg, str) and arg in self._digests) or (
            isinstance(arg, bytes) and _CELL.fullmatch(arg) is not None
        )

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Any:
        """Raises TypeError."""
        raise TypeError("a pipeline goes round the guard")
