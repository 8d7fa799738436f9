"""`python -m router.cli` is `valueapi`."""

from router.cli.main import main

main()
