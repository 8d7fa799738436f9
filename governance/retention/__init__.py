"""How long stored data is kept: the rules, and what enforces them."""
