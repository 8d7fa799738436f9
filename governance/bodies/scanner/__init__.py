"""Searches everything that came to rest for needles. It trusts nothing: not the service, its database or its settings."""
