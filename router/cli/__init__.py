"""The command line: parses, calls, prints. No rule of the product lives here."""


def main() -> None:
    """The console script."""
    from router.cli.main import main as run  # what a module of this package needs alone shouldn't load every verb

    run()
