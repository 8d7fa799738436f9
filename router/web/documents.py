"""`/privacy`, `/terms`, `/acceptable-use`, `/cookies`: the version in force, every earlier one, what changed, and a feed."""

from collections.abc import Sequence
from datetime import UTC, datetime, time
from itertools import groupby
from xml.etree import ElementTree as xml

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from governance.errors import NotFound
from policies import redline, versions
from policies.sentences import Block, Section
from policies.version import SERIES, Version
from policies.versions import PolicyVersion
from router.surface import DOCUMENTS, DocumentPages
from router.web.context import web
from router.web.mount import mount
from router.web.pages import page

router = APIRouter(include_in_schema=False)
_ATOM = "http://www.w3.org/2005/Atom"
_MINUTES = {"cache-control": "public, max-age=300"}


def rendered(version: Version, row: PolicyVersion, rows: Sequence[PolicyVersion]) -> Response:
    """A version as people read it. `rows`: every published one of the series, the newest first."""
    older = next((each for each in rows if each.effective_on < row.effective_on), None)
    return page(
        "document.html",
        title=version.title,
        row=row,
        in_force=versions.current(rows, version.series) is row,
        older=older,
        sections=[(section, _parts(section)) for section in version.sections],
        pages=DOCUMENTS[version.series],
    )


def html(version: Version, row: PolicyVersion) -> str:
    """The page of a version that is in force, for who looks whether it shows what it must."""
    return bytes(rendered(version, row, [row]).body).decode()


def _parts(section: Section) -> list[tuple[bool, list[Block]]]:
    """Paragraphs and lists: items that follow each other are one list."""
    return [(is_list, list(blocks)) for is_list, blocks in groupby(section.blocks, lambda block: block.item)]


def _serve(series: str, pages: DocumentPages) -> None:
    @mount(router, pages.IN_FORCE, "GET, HEAD")
    async def in_force(request: Request) -> Response:
        data = web(request).data
        rows = await versions.history(data, series)
        row = versions.current(rows, series)
        if row is None:
            raise NotFound(f"There is no {SERIES[series].lower()} in force yet.")
        return _kept(rendered(await versions.get(data, series, row.version), row, rows))

    @mount(router, pages.HISTORY, "GET, HEAD")
    async def history(request: Request) -> Response:
        rows = await versions.history(web(request).data, series)
        now = versions.current(rows, series)
        return _kept(page("document_history.html", title=SERIES[series], rows=rows, now=now, pages=pages))

    @mount(router, pages.FEED, "GET, HEAD")
    async def feed(request: Request) -> Response:
        rows = await versions.history(web(request).data, series)
        return _kept(
            Response(_atom(series, pages, rows, web(request).settings.base_url()), media_type="application/atom+xml")
        )

    @mount(router, pages.VERSION, "GET, HEAD")
    async def version(request: Request, version: str) -> Response:
        data = web(request).data
        found = await versions.get(data, series, version)
        rows = await versions.history(data, series)
        row = next(each for each in rows if each.version == version)
        return _kept(rendered(found, row, rows))

    @mount(router, pages.CHANGES, "GET, HEAD")
    async def changes(request: Request, version: str, since: str) -> Response:
        data = web(request).data
        old, new = await versions.get(data, series, since), await versions.get(data, series, version)
        return _kept(
            page(
                "document_changes.html",
                title=SERIES[series],
                old=old,
                new=new,
                parts=shortened(redline.between(old, new)),
                pages=pages,
            )
        )


def shortened(lines: Sequence[redline.Line]) -> list[tuple[int, list[redline.Line]]]:
    """Changed sentences with one unchanged one around them; of the rest, how many there are, with no lines."""
    near = {place + step for place, line in enumerate(lines) if line.changed for step in (-1, 0, 1)}
    parts = []
    for shown, places in groupby(range(len(lines)), lambda place: place in near):
        run = [lines[place] for place in places]
        parts.append((0, run) if shown else (len(run), []))
    return parts


def _kept(answer: Response) -> Response:
    answer.headers.update(_MINUTES)
    return answer


def _atom(series: str, pages: DocumentPages, rows: Sequence[PolicyVersion], base: str) -> bytes:
    """RFC 4287."""
    feed = xml.Element("feed", xmlns=_ATOM)

    def add(parent: xml.Element, name: str, text: str = "", **attributes: str) -> xml.Element:
        made = xml.SubElement(parent, name, attributes)
        made.text = text or None
        return made

    add(feed, "title", f"ValueAPI: {SERIES[series].lower()}")
    add(feed, "id", f"{base}{pages.FEED}")
    add(feed, "link", rel="self", href=f"{base}{pages.FEED}")
    newest = max((row.published_at for row in rows), default=datetime.combine(datetime.min, time(), UTC))
    add(feed, "updated", newest.isoformat())
    add(add(feed, "author"), "name", "ValueAPI")
    for row in rows:
        entry = add(feed, "entry")
        add(entry, "title", f"{row.title}, version {row.version}")
        add(entry, "id", f"{base}{pages.VERSION.at(version=row.version)}")
        add(entry, "link", rel="alternate", href=f"{base}{pages.VERSION.at(version=row.version)}")
        add(entry, "updated", row.published_at.isoformat())
        add(entry, "summary", f"{row.summary} In force from {row.effective_on.isoformat()}.")
    return bytes(xml.tostring(feed, encoding="utf-8", xml_declaration=True))


for _series, _of in DOCUMENTS.items():
    _serve(_series, _of)
