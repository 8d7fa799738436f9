"""Hosts that the settings, the environment and the catalog name."""

from urllib.parse import urlsplit
from urllib.request import getproxies

from router.providers.catalog import Catalog
from router.settings import Settings


def named(settings: Settings) -> dict[str, str]:
    """By what they are for: both stores, Redis, and proxies of the environment that requests to providers go through.

    Files and sockets of this machine have none.
    """
    found = {"the data store": settings.data_store(), "the key store": settings.key_store()}
    if settings.redis_url is not None:
        found["Redis"] = settings.redis_url.get_secret_value()
    found |= {f"the proxy for {scheme}": url for scheme, url in getproxies().items() if scheme != "no"}
    hosts = {what: urlsplit(url if "://" in url else f"//{url}").hostname for what, url in found.items()}
    return {what: host for what, host in hosts.items() if host}


def operated(settings: Settings) -> dict[str, str]:
    """The recipient of each host that the operator declares."""
    pairs = (part.partition("=") for part in settings.recipient_hosts)
    return {host.lower(): recipient for recipient, _, host in pairs}


def of(catalog: Catalog) -> set[str]:
    """Of every provider that may be asked."""
    return {route.base.host for model in catalog.models for route in model.routes}
