"""Sealing: envelopes, keys of subjects and services, handles that open for a declared use only."""
