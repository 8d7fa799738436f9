"""The command line: parses, calls, prints. No rule of the product lives here."""

from router.cli.main import main

__all__ = ["main"]
