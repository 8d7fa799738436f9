"""Leaks planted into the real service, with nothing but layer 1 to stop them."""
