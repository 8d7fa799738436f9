"""The AI API router: one endpoint, one key, prepaid Credits, every model."""
