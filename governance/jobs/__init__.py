"""Work that comes due by the clock: declared at start, due times in a table of its own, run by one leader."""
