"""HTTP/1.1 at the socket (RFC 9112): uvicorn's httptools protocol, with limits that hold before an application runs.

What it changes, because the server it builds on doesn't:

- a head, a body or a reader that drips, stops or grows is cut (`Limits`);
- framing that two parsers could read differently is refused and the connection closed, never repaired;
- an answer that ends before its request's body does closes the connection: no body is read after a 401, and no
  body byte is ever taken for a next request, also not behind an `Upgrade` that isn't followed;
- trailers don't change the headers that the application saw;
- of pipelined requests the one being answered learns that its client is gone;
- an exception is logged by type and place: its text could quote a prompt.

A body that breaks a limit raises `BodyTooLarge` or `RequestTimedOut` from the application's `receive()`, so that it
can answer in the caller's own protocol; before there is a request the answer is problem+json (RFC 9457).
"""

from router.gateway.protocol.connection import make_protocol
from router.gateway.protocol.limits import Limits

__all__ = ["Limits", "make_protocol"]
