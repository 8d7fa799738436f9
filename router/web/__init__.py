"""The account API, the portal's pages, health and metrics. Only `create_web` is meant for others."""
