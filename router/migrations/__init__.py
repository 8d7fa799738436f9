"""Alembic migrations of the two stores, and the code that runs them."""
