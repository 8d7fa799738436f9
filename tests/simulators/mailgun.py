"""Mailgun's documented wire on a real socket: `POST /v3/{domain}/messages`, form-encoded, Basic auth `api:<key>`.

Answers as in documentation.mailgun.com/docs/mailgun/: `api-reference/send/mailgun/messages`,
`quickstart-guide/responses`.
`faults` is taken from the front, one per request: a status, or "hang-up" (the mail is taken and the connection drops).
"""

import base64
import json
from collections import deque
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs

from tests.simulators.served import Served

_TEXT = {401: "Forbidden", 404: "Not Found", 429: "Too Many Requests", 500: "Internal Server Error"}


class MailgunSimulator(Served):
    """Runs while the `with` block does. `accepted` holds the forms that it took, `seen` every request's form."""

    def __init__(self, *, key: str = "key-test", domain: str = "mail.example") -> None:
        self.key = key
        self.domain = domain
        self.accepted: list[dict[str, list[str]]] = []
        self.seen: list[dict[str, list[str]]] = []
        self.content_types: list[str] = []
        self.faults: deque[int | str] = deque()
        self.retry_after: str | None = None
        self.serve(_handler(self))


def _handler(simulator: MailgunSimulator) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers.get("content-length", "0"))).decode())
            simulator.seen.append(form)
            simulator.content_types.append(self.headers.get("content-type", ""))
            fault = simulator.faults.popleft() if simulator.faults else None
            if self._basic() != f"api:{simulator.key}":
                return self._answer(401)
            if self.path != f"/v3/{simulator.domain}/messages":
                return self._answer(404)
            if isinstance(fault, int):
                return self._answer(fault)
            if not form.get("from") or not form.get("to") or not (form.get("text") or form.get("html")):
                return self._answer(400, {"message": "to parameter is missing"})
            simulator.accepted.append(form)
            if fault == "hang-up":
                self.close_connection = True
                return None
            return self._answer(200, {"id": form["h:Message-Id"][0], "message": "Queued. Thank you."})

        def _basic(self) -> str:
            scheme, _, value = self.headers.get("authorization", "").partition(" ")
            return base64.b64decode(value).decode() if scheme == "Basic" else ""

        def _answer(self, status: int, body: dict[str, str] | None = None) -> None:
            content = json.dumps(body).encode() if body is not None else _TEXT.get(status, "Error").encode()
            self.send_response(status)
            self.send_header("content-type", "application/json" if body is not None else "text/plain")
            self.send_header("content-length", str(len(content)))
            if status == 429 and simulator.retry_after is not None:
                self.send_header("retry-after", simulator.retry_after)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: Any) -> None:
            """Silent: a test's own output is what counts."""

    return Handler
