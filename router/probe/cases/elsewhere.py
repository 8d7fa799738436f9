"""Content sent to where it doesn't belong: unknown paths, what isn't offered, pages, forms and the account API."""

import json
from functools import partial
from typing import Any
from urllib.parse import urlencode

from router.probe.canaries import Marks
from router.probe.case import Cases, Credential, Lane, Request
from router.probe.cases import bodies
from router.surface import DOCUMENTS, NOT_OFFERED, Account, Portal, Service, paths

_FORM = (b"content-type", b"application/x-www-form-urlencoded")


def add_paths(cases: Cases, lane: Lane) -> None:
    """The prompt of a good request, posted to a wrong path."""
    wrong = {f"path {path}": f"{path.rstrip('/')}/" for path in NOT_OFFERED}
    wrong |= {"an unknown path": "/v1/", "an unknown path outside": "/", "an encoded path": "/v1/%2e%2e/%00/"}
    for name, path in wrong.items():
        cases.add(f"{lane.wire}/{name}", partial(_posted_to, lane, path), lane=lane)


def _posted_to(lane: Lane, path: str, marks: Marks) -> Request:
    body = json.dumps(bodies.body(lane, marks)).encode()
    return Request(target=f"{path}{marks.metadata('path')}".encode(), headers=(bodies.JSON,), body=body)


def add_web(cases: Cases, lane: Lane) -> None:
    """What is served beside the gateway, by the names of `surface`."""
    groups = ((Account, "account API"), (Portal, "portal"), (Service, "service"))
    for group, prefix in (*groups, *((pages, "documents") for pages in DOCUMENTS.values())):
        for path in paths(group):
            place = path.at(key_id="00000000-0000-0000-0000-000000000000", version="2026-03", since="2026-03")
            for method in sorted({word.strip() for words in path.meaning for word in words.split(",")}):
                name = f"{prefix}/{method} {path}"
                cases.add(name, partial(_asked, place, method), credential=Credential.OWN)
                if method in ("POST", "PUT", "PATCH"):
                    for shape, build in _SHAPES.items():
                        builder = partial(build, lane, place, method)
                        cases.add(f"{name} ({shape})", builder, credential=Credential.OWN)


def _asked(place: str, method: str, marks: Marks) -> Request:
    headers = (
        (b"cookie", f"session={marks.credential('cookie')}; other={marks.metadata('cookie')}".encode()),
        (b"authorization", f"Bearer {marks.credential('session')}".encode()),
        (b"user-agent", marks.metadata("user-agent").encode()),
    )
    query = f"?token={marks.credential('token')}&next={marks.metadata('next')}"
    return Request(method=method.encode(), target=(place + query).encode(), headers=headers)


def _json(place: str, method: str, body: Any) -> Request:
    return Request(method.encode(), place.encode(), (bodies.JSON,), json.dumps(body).encode())


def _prompt(lane: Lane, place: str, method: str, marks: Marks) -> Request:
    return _json(place, method, bodies.body(lane, marks))


def _fields(lane: Lane, place: str, method: str, marks: Marks) -> Request:
    words = marks.prompt("values")
    values: dict[str, Any] = dict.fromkeys(("password", "token", "name", "secret"), words)
    return _json(place, method, {**values, "email": f"{words}@probe.invalid", marks.prompt("name of a field"): 1})


def _wrong_types(lane: Lane, place: str, method: str, marks: Marks) -> Request:
    names = ("email", "password", "token", "name", "data_policy")
    value = [{marks.prompt("name in a value"): marks.prompt("values")}]
    return _json(place, method, {name: value for name in names})


def _no_json(lane: Lane, place: str, method: str, marks: Marks) -> Request:
    return Request(method.encode(), place.encode(), (bodies.JSON,), f'{{"email": {marks.prompt("email")}'.encode())


def _form(lane: Lane, place: str, method: str, marks: Marks) -> Request:
    names = ("email", "password", "token", "name", "csrf", "only", "ignore")
    text = urlencode({**dict.fromkeys(names, marks.prompt("values")), marks.prompt("name of a field"): "1"})
    return Request(method.encode(), place.encode(), (_FORM,), text.encode())


def _multipart(lane: Lane, place: str, method: str, marks: Marks) -> Request:
    part = (
        f'--b\r\nContent-Disposition: form-data; name="email"; filename="{marks.prompt("file name")}"\r\n'
        f"Content-Type: text/plain\r\n\r\n{marks.prompt('file')}" + " filling" * 200_000 + "\r\n--b--\r\n"
    )
    kind = (b"content-type", b"multipart/form-data; boundary=b")
    return Request(method.encode(), place.encode(), (kind,), part.encode())


_SHAPES = {
    "a prompt": _prompt,
    "fields": _fields,
    "wrong types": _wrong_types,
    "broken JSON": _no_json,
    "a form": _form,
    "multipart": _multipart,
}
