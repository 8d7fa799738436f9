"""What makes a claim provable to whoever trusts neither us nor our databases: the transparency log."""
