"""Checkpoints to places outside our reach: into a folder, or to a witness that cosigns them (c2sp.org/tlog-witness).

Who keeps them can tell later that the log was put back or rewritten: the newest log must extend every one of them.
"""

import asyncio
import base64
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2

from governance import outbound
from governance.errors import Conflict, Rejected
from governance.evidence import checkpoint, merkle, note
from governance.evidence.checkpoint import Checkpoint
from governance.evidence.folder import LogFolder
from governance.evidence.note import Note, NoteKey
from governance.evidence.tiles import write_once

_TIMEOUT_S = 20.0
_ANSWER_BYTES_MAX = 64 * 1024
_TRIES = 25
_AGAIN_S = 0.2


def _latest(where: LogFolder) -> tuple[Checkpoint, Note]:
    latest = where.latest()
    if latest is None:
        raise Rejected("The transparency log has no checkpoint yet.")
    return latest


def to_folder(where: LogFolder, target: Path) -> Path:
    """Leave the newest checkpoint in a folder, as `<size>.checkpoint`; where it is now.

    Raises Conflict where one that lies there isn't a beginning of today's log: then nothing is written.
    """
    newest, signed = _latest(where)
    subtree = where.tiles.subtree(newest.size)
    for file in sorted(target.glob("*.checkpoint")):
        before = checkpoint.read(note.parse(file.read_bytes()))
        fits = before.origin == newest.origin and before.size <= newest.size
        if not fits or (before.size and subtree(0, before.size) != before.root):
            raise Conflict(
                f"{file.name} of the witness isn't a beginning of today's log: it was put back or rewritten."
            )
    out = target / f"{newest.size}.checkpoint"
    if not out.exists():
        write_once(out, str(signed).encode())
    return out


async def ask(where: LogFolder, url: str, key: NoteKey) -> Checkpoint:
    """Have a witness cosign the newest checkpoint, and add its cosignature to it; the checkpoint.

    `url`: the witness's submission prefix. Raises Conflict where the witness has seen another history, Rejected where it
    can't be asked, refuses, or answers with something else than its cosignature.
    """
    newest, signed = _latest(where)
    options: dict[str, Any] = {"timeout": _TIMEOUT_S, "trust_env": False, "follow_redirects": False}
    outbound.saw(urlsplit(url).hostname or url)
    try:
        async with httpx2.AsyncClient(**options) as client:
            # Which size it knows is what it says when it is told another.
            status, text = await _post(client, url, _request(where, newest, signed, 0))
            if status == 409:
                old = int(text) if text.strip().isdecimal() else -1
                if not 0 < old <= newest.size:
                    raise Conflict("The witness has seen another, larger log: ours was put back or rewritten.")
                status, text = await _post(client, url, _request(where, newest, signed, old))
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError):
        raise Rejected("The witness can't be reached.") from None
    if status in (409, 422):
        raise Conflict("The witness has seen another history than today's log.")
    if status != 200:
        raise Rejected(f"The witness refused the checkpoint (status {status}).")
    given = Note(signed.text, note.signature_lines(text))
    given.signed_by([key])
    await _add(where, newest, [each for each in given.signatures if each.is_of(key)])
    return newest


def _request(where: LogFolder, newest: Checkpoint, signed: Note, old: int) -> bytes:
    proof = merkle.consistency(old, newest.size, where.tiles.subtree(newest.size))
    lines = [f"old {old}", *(base64.b64encode(each).decode() for each in proof), "", str(signed)]
    return "\n".join(lines).encode()


async def _post(client: httpx2.AsyncClient, url: str, body: bytes) -> tuple[int, str]:
    async with client.stream("POST", f"{url.rstrip('/')}/add-checkpoint", content=body) as answer:
        data = b""
        async for piece in answer.aiter_bytes():
            data += piece
            if len(data) > _ANSWER_BYTES_MAX:
                raise Rejected("The witness's answer is too large.")
    return answer.status_code, data.decode(errors="replace")


async def _add(where: LogFolder, head: Checkpoint, lines: list[note.Signature]) -> None:
    """Add cosignatures to a published checkpoint. A newer one that came meanwhile stays as it is."""
    for _ in range(_TRIES):
        if _added(where, head, lines):
            return
        await asyncio.sleep(_AGAIN_S)
    raise Rejected("The log is being written to: the cosignature wasn't added. Ask once more.")


def _added(where: LogFolder, head: Checkpoint, lines: list[note.Signature]) -> bool:
    """False where another has the log's lock, which the sequencer holds for moments."""
    with where.alone() as ours:
        latest = where.latest()
        if not ours:
            return False
        if latest is None or latest[0] != head:
            return True
        others = tuple(
            each for each in latest[1].signatures if (each.name, each.key_id) != (lines[0].name, lines[0].key_id)
        )
        where.publish(Note(latest[1].text, (*others, *lines)))
        return True
