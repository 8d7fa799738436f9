"""Creates the web application: account API, portal, service paths, one shell around them."""

from importlib.metadata import PackageNotFoundError, version

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.types import ASGIApp

from router.accounts.api_key import ApiKeys
from router.surface import Service
from router.web import account_api, account_shapes, documents, openapi, portal, problems, service, transparency
from router.web.context import WebContext
from router.web.shell import Shell

# FastAPI would record exception texts, stack traces and paths through whatever OpenTelemetry provider is installed.
_SILENT = TelemetryConfig(
    tracing=False, metrics=False, logs=False, operation_spans=False, auto_configure=False, exclude=lambda scope: True
)
_DESCRIPTION = "Accounts, API keys, usage and data policy. Errors are problem+json (RFC 9457)."


def create_routes() -> FastAPI:
    """The routes alone, without anything to serve them from: `docs/api.md` takes their fields from the document of these."""
    app = FastAPI(
        title="ValueAPI account API",
        version=_version(),
        description=_DESCRIPTION,
        openapi_url=Service.OPENAPI.template,
        # Their pages load scripts from a CDN and keep what was tried.
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        # A redirect would be made from the Host header.
        redirect_slashes=False,
        telemetry=_SILENT,
    )
    app.include_router(account_api.router)
    app.include_router(portal.router)
    app.include_router(service.router)
    app.include_router(transparency.router)
    app.include_router(documents.router)
    problems.install(app, account_shapes.BODIES, account_api.PARAMETERS)
    app.openapi = lambda: openapi.document(app)  # type: ignore[method-assign]  # FastAPI's documented way
    return app


def create_web(context: WebContext) -> ASGIApp:
    """The web application, ready to serve. It has no lifespan of its own: what it uses is opened by the caller."""
    app = create_routes()
    app.state.web = context
    app.state.desk = desk = context.desk()
    app.state.api_keys = ApiKeys(context.data, context.keys, desk.links, bump=context.changed)
    return Shell(app, secure=context.secure, metrics=context.metrics)


def _version() -> str:
    try:
        return version("valueapi")
    except PackageNotFoundError:
        return "0"
