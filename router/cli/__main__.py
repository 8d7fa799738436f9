"""`python -m router.cli` is `valueapi`."""

from router.cli import main

main()
