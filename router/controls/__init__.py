"""Controls that look at what the router alone has: books, providers, pages, listeners."""
