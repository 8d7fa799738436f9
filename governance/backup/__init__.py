"""Backups of the two stores, each apart: made while the service runs, sealed where they hold keys, registered with an end."""
