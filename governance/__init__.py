"""What the privacy policy promises, enforced: declarations, keys, bodies, evidence. Knows no web framework."""
