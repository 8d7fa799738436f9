"""Where this service leaves what it writes, and what it asks people for: what controls look through."""

import asyncio
import json
from pathlib import Path

from governance.bodies.scanner.search import Search
from router.settings import Settings
from router.web.app import create_routes
from router.web.pages import TEMPLATES


def logs(settings: Settings) -> list[Path]:
    """Files of the event log, and of the output where the settings name it."""
    named = [path for each in settings.self_probe_logs for path in (each.rglob("*") if each.is_dir() else [each])]
    return [*settings.log_folder.glob("*.jsonl*"), *(path for path in named if path.is_file())]


async def sweep(settings: Settings, search: Search) -> None:
    """Look through every folder that the service writes to, its named logs, and both stores."""
    folders = [path.resolve() for path in (*settings.writable_folders(), *settings.self_probe_logs)]
    for path in folders:
        if path.exists() and not any(other != path and path.is_relative_to(other) for other in folders):
            await asyncio.to_thread(search.path, path)
    for url in (settings.data_store(), settings.key_store()):
        if url.startswith("postgresql"):
            await search.postgres(url)
    if settings.redis_url is not None:
        await search.redis(settings.redis_url.get_secret_value())


def asked() -> dict[str, str]:
    """Every page and mail of ours as it stands, and the document of the account API."""
    pages = {f"The page {path.name}": path.read_text() for path in sorted(TEMPLATES.glob("*.html"))}
    return pages | {"The account API": json.dumps(create_routes().openapi())}
