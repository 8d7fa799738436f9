"""Upstream providers: who they are, what they promise about data, and the wire formats they speak."""
