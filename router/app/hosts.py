"""Hosts that the settings and the catalog name."""

from urllib.parse import urlsplit

from router.providers.catalog import Catalog
from router.settings import Settings


def named(settings: Settings) -> dict[str, str]:
    """By what they are for: both stores, and Redis. Files and sockets of this machine have none.

    A proxy of the environment isn't one: it passes on what is under TLS, and `transport-encrypted` sees to that.
    """
    found = {"the data store": settings.data_store(), "the key store": settings.key_store()}
    if settings.redis_url is not None:
        found["Redis"] = settings.redis_url.get_secret_value()
    hosts = {what: urlsplit(url).hostname for what, url in found.items()}
    return {what: host for what, host in hosts.items() if host}


def operated(settings: Settings) -> dict[str, str]:
    """The recipient of each host that the operator declares."""
    pairs = (part.partition("=") for part in settings.recipient_hosts)
    return {host.lower(): recipient for recipient, _, host in pairs}


def of(catalog: Catalog) -> set[str]:
    """Of every provider that may be asked."""
    return {route.base.host for model in catalog.models for route in model.routes}
