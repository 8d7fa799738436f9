"""What the web application works with, filled by the composition root, and how a handler gets at it."""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry
from starlette.requests import Request
from starlette.types import Scope

from governance.bodies.probe_run import About
from governance.bodies.standing import UNREAD, Standing
from governance.db import Database
from governance.vault.blind_index import EmailIndex
from governance.vault.keys import KeyStore
from router.accounts.api_key import ApiKeys
from router.accounts.desk import Desk, Links
from router.accounts.directory import KeyDirectory
from router.accounts.passwords import Passwords
from router.gateway.caller import USER_AGENT_MAX, TrustedProxies
from router.gateway.ratelimit import RateLimiter
from router.providers.catalog import Catalog
from router.settings import Settings

REQUEST_ID = "valueapi.request_id"


@dataclass(frozen=True, slots=True)
class WebContext:
    """`cell_secret` (16 to 64 bytes) keys rate-limit cells and form tokens, and is the same in every process.

    `ready` gives the reasons why the service can't serve, empty when it can; `bump` makes every process drop the
    principals that it remembers; `standing` tells how the control of bodies stands, `about` which program in which setup this is.
    `answer_seconds` is the least that an answer takes which must not tell whether an address is known (`Desk`).
    """

    data: Database
    keys: KeyStore
    settings: Settings
    directory: KeyDirectory
    limiter: RateLimiter
    cell_secret: bytes
    catalog: Catalog
    ready: Callable[[], list[str]]
    metrics: CollectorRegistry
    bump: Callable[[], object]
    proxies: TrustedProxies
    answer_seconds: float = 0.5
    standing: Callable[[], Standing] = lambda: UNREAD
    about: About = field(default_factory=lambda: About("", ""))

    def desk(self) -> Desk:
        """What sign-up, sign-in and password changes work with. Make one: it starts the threads that hash passwords."""
        links = Links(self.settings.base_url())
        return Desk(
            self.data,
            self.keys,
            EmailIndex(self.keys),
            Passwords(),
            links,
            session_hours=self.settings.session_hours,
            answer_seconds=self.answer_seconds,
        )

    def changed(self) -> None:
        """A key, account or data policy changed: every process forgets what it knows of them."""
        self.bump()

    @property
    def secure(self) -> bool:
        """Whether people reach the service by TLS: cookies are then `__Host-`, and HSTS is sent."""
        return self.settings.base_url().startswith("https://")


def web(request: Request) -> WebContext:
    """The context of the application that serves this request."""
    context: WebContext = request.app.state.web
    return context


def desk(request: Request) -> Desk:
    """The application's one desk."""
    made: Desk = request.app.state.desk
    return made


def api_keys(request: Request) -> ApiKeys:
    """The keys of accounts, as their owners work with them."""
    made: ApiKeys = request.app.state.api_keys
    return made


def request_id(scope: Scope) -> str:
    """Ours, made by the shell before anything else ran."""
    name: str = scope.get(REQUEST_ID, "")
    return name


def client_address(request: Request) -> str | None:
    """The client's address: the socket's peer, or what trusted proxies say of it."""
    peer = request.client.host if request.client is not None else None
    return web(request).proxies.client(peer, forwarded_for(request))


def forwarded_for(request: Request) -> str | None:
    """All X-Forwarded-For headers as one list."""
    values = request.headers.getlist("x-forwarded-for")
    return ", ".join(values) if values else None


def client_network(request: Request) -> bytes:
    """What is limited by address: an IPv4 address, or the /64 that one IPv6 client has to itself."""
    address = client_address(request)
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return b"unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        mapped = parsed.ipv4_mapped
        return mapped.packed if mapped is not None else parsed.packed[:8]
    return parsed.packed


def user_agent(request: Request) -> str | None:
    """As sent, cut; for the session's sealed column only."""
    value = request.headers.get("user-agent")
    return value[:USER_AGENT_MAX] if value else None
