"""Every listener and connection that the settings make, and whether what travels on it is under TLS and verified."""

import ipaddress
from collections.abc import Iterator
from urllib.parse import SplitResult, parse_qs, urlsplit

from router.controls.transport_encrypted import Link
from router.providers.catalog import Catalog
from router.settings import Settings


def of(settings: Settings, catalog: Catalog) -> Iterator[Link]:
    """One for the listener, each store, each provider and each other service that is asked."""
    yield _listener(settings)
    yield _postgresql("The data store", settings.data_store())
    yield _postgresql("The key store", settings.key_store())
    if settings.redis_url is not None:
        yield _redis(settings.redis_url.get_secret_value())
    for provider, base in sorted({(route.provider.id, route.base) for model in catalog.models for route in model.routes},
                                 key=lambda pair: pair[0]):  # fmt: skip
        secure = base.scheme == "https" or base.loopback
        yield Link(f"The provider {provider}", "" if secure else "plain http to another machine")
    asked = {"Vault": settings.vault_addr, "Mailgun": settings.mailgun_url if settings.mailgun_key else None}
    asked |= {f"Witness {number}": text.partition(" ")[0] for number, text in enumerate(settings.witnesses, 1)}
    for what, url in asked.items():
        if url is not None:
            yield _https(what, urlsplit(url))


def _listener(settings: Settings) -> Link:
    if settings.tls_cert is not None or _here(settings.host):
        return Link("The listener")
    if settings.trusted_proxies:
        return Link("The listener", unseen="a proxy ends TLS before it, which can't be seen from here")
    return Link("The listener", "it is open to other machines without TLS (VALUEAPI_TLS_CERT)")


def _postgresql(what: str, url: str) -> Link:
    parts = urlsplit(url)
    if not parts.scheme.startswith("postgresql") or _local(parts):
        return Link(what)
    asked = parse_qs(parts.query)
    modes = asked.get("ssl", []) + asked.get("sslmode", [])
    return Link(what, "" if modes == ["verify-full"] else "its certificate isn't verified: add ?ssl=verify-full")


def _redis(url: str) -> Link:
    parts = urlsplit(url)
    if parts.scheme == "unix" or _local(parts):
        return Link("Redis")
    if parts.scheme != "rediss":
        return Link("Redis", "plain to another machine: use rediss://")
    options = parse_qs(parts.query)
    weak = options.get("ssl_cert_reqs", ["required"]) != ["required"] or options.get("ssl_check_hostname") == ["False"]
    return Link("Redis", "its certificate isn't verified" if weak else "")


def _https(what: str, parts: SplitResult) -> Link:
    return Link(what, "" if parts.scheme == "https" or _local(parts) else "plain http to another machine")


def _local(parts: SplitResult) -> bool:
    """A socket of this machine, or a loopback address."""
    host = parts.hostname or parse_qs(parts.query).get("host", [""])[0]
    return not host or host.startswith("/") or _here(host)


def _here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
