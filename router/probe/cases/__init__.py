"""The matrix: which requests are sent, and how the upstream answers each."""
