"""A local upstream that speaks the real wire formats of OpenAI, Anthropic and Google, deterministically.

It stands in for the providers in development and in tests, streaming and faults included. It keeps nothing and logs
nothing; only a `Recorder` that a test hands in remembers what came.
"""

from router.providers.simulator.app import ASGIApp, create
from router.providers.simulator.recorder import Received, Recorder
from router.providers.simulator.server import Running, run, running

__all__ = ["ASGIApp", "Received", "Recorder", "Running", "create", "run", "running"]
