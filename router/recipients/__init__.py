"""Whom personal data goes to, as it is seen in operation."""
