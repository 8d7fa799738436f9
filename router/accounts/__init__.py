"""Accounts, the people in them, sign-in, sessions and API keys."""
