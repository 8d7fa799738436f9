"""Prompt and completion bytes: opaque while they travel, never at rest."""
