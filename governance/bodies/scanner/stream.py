"""One layer of content, fed in order: searched window by window, and decoded into further layers.

Memory is bounded: a window and an overlap per layer, and a bound on how many decoders run and what each may make.
"""

from collections.abc import Callable

from governance.bodies.scanner import byte_lists, decode, magic
from governance.bodies.scanner.automaton import Automaton, Match
from governance.bodies.scanner.frames import ZipEntry
from governance.bodies.scanner.inflate import Decoder
from governance.bodies.scanner.needles import MATCHED_MIN, unfolded_offset

WINDOW = 1 << 20
OVERLAP = 4 << 10  # more than any spelling of 16 bytes takes
DEPTH_MAX = 10  # layers, those that only undo escapes aside
ESCAPED_MAX = 8  # of those, in a row
RUNNING_MAX = 64  # decoders at once in one layer
STREAM_MAX = 256 << 20  # bytes that one compressed stream may become
PLACE_MAX, PER_BYTE_MAX = (
    1 << 30,
    16,
)  # bytes that all decoding of a place may make: so many, and so many per byte of it
_STEPS = (4 << 10, 64 << 10, 1 << 30)  # a stream that breaks off soon costs little
_ESCAPED = "escaped"
_WEAK_MADE = 64 << 10  # what noise that looks like a format may become
_LONG_RUN = 256
CARVED_MAX = 64  # bytes that the head and first columns of a freed row may take
_OTHER_PHASES_FROM = 48
_BETWEEN = b"\xff\xfe\xff"  # no needle goes on over it

Found = Callable[[int, int | None, str, int], None]  # needle, offset, form, matched


class Place:
    """What is searched: whom to tell, and how much more may be decoded."""

    def __init__(self, name: str, automaton: Automaton, found: Found, unread: Callable[[str], None]) -> None:
        self.name = name
        self.automaton = automaton
        self.found = found
        self.unread = unread
        self._left = PLACE_MAX

    def grow(self, size: int) -> None:
        """So many bytes of the place itself were read."""
        self._left += PER_BYTE_MAX * size

    def spend(self, size: int) -> bool:
        """Take what was decoded from what may be; False when that is too much."""
        self._left -= size
        return self._left >= 0


class Stream:
    """A layer. `offset` is where it begins in the place; nested layers have the offset of what they came out of."""

    def __init__(
        self,
        place: Place,
        *,
        forms: tuple[str, ...] = (),
        offset: int | None = 0,
        nested: bool = False,
        whole: bool = True,
    ) -> None:
        self.place = place
        self._forms = forms
        self._origin = offset
        self._nested = nested
        self._whole = whole  # its first byte is a value's first
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._overlap = b""
        self._base = 0  # of the window: bytes of this layer before it
        self._running: list[_Running] = []
        self._plain: Stream | None = None
        self._plain_to = 0
        self._block: bytearray | None = None
        self._joined: dict[str, Stream] = {}
        self._joined_to = 0
        self._crowded = False

    def feed(self, data: bytes) -> None:
        """The next bytes."""
        if not self._nested:
            self.place.grow(len(data))
        for at in range(0, len(data), WINDOW):
            piece = data[at : at + WINDOW] if len(data) > WINDOW else data
            self._pending.append(piece)
            self._pending_size += len(piece)
            if self._pending_size >= WINDOW:
                self._look(last=False)

    def close(self) -> None:
        """Nothing follows."""
        self._look(last=True)
        if self._block is not None:
            for form, made in magic.block_without_head(bytes(self._block)):
                self._nest(form, 0, made)
        for running in self._running:
            running.close()
        for layer in (self._plain, *self._joined.values()):
            if layer is not None:
                layer.close()

    def layer(self, form: str, at: int, *, whole: bool = True) -> "Stream":
        """A nested layer that comes out of what begins at this place of the window."""
        return Stream(self.place, forms=(*self._forms, form), offset=self._offset(at), nested=True, whole=whole)

    def _offset(self, at: int) -> int | None:
        return self._origin if self._nested or self._origin is None else self._origin + self._base + at

    def _look(self, *, last: bool) -> None:
        fresh = self._pending[0] if len(self._pending) == 1 else b"".join(self._pending)
        self._pending, self._pending_size = [], 0
        window = self._overlap + fresh if self._overlap else fresh
        before = len(self._overlap)
        for match in self.place.automaton.search(window):
            self._report(match, window)
        if len(self._forms) - self._forms.count(_ESCAPED) < DEPTH_MAX:
            self._decode(window, before, last)
        elif magic.strong_head(window):
            self.place.unread(f"nested more than {DEPTH_MAX} deep: not decoded further")
        self._overlap = window[-OVERLAP:]
        self._base += len(window) - len(self._overlap)

    def _report(self, match: Match, window: bytes) -> None:
        form = " > ".join((*self._forms, match.form))
        at = 0 if self._nested else unfolded_offset(window, match.folded_offset)
        self.place.found(match.needle, self._offset(at), form, match.matched)

    def _decode(self, window: bytes, before: int, last: bool) -> None:
        fresh = window[before:] if self._running else b""
        for running in self._running:
            running.feed(fresh)
        self._running = [running for running in self._running if not running.over]
        if self._whole and self._base == 0 and not before:
            self.value(window, 0, last=last)
            if not last and magic.block_may_go_on(window):
                self._block = bytearray()
        if self._block is not None:
            self._block += window[before:]
            if len(self._block) > magic.BLOCK_MAX:
                self.place.unread(f"may be an LZ4 or Snappy block of more than {magic.BLOCK_MAX} bytes: not decoded")
                self._block = None
        heads, keys = magic.heads(window)
        for start, end, head in heads:
            if end > before:
                self._run(head.make(), window, start, weak=head.weak)
        if not self._unescape(window, last):
            self._runs(window, before, last)
            self._lists(window, before)
        self._join(window, keys)

    def value(self, value: bytes, at: int, *, last: bool = True, any_end: bool = False) -> None:
        """A value that may be compressed in a form without a head; it begins at this place of the window."""
        for decoder in magic.without_head(value, any_end=any_end):
            running = self._run(decoder, value, 0, at=at, weak=True)
            if last and running is not None:
                self._running.remove(running)
                running.close()
        if last:
            for form, made in magic.block_without_head(value):
                self._nest(form, at, made)

    def headless(self, value: bytes) -> None:
        """Try what only a value's start tells: compressed without a head, or so in base64 or hex. Its own bytes are searched
        elsewhere."""
        if decode.is_run(value):
            self.feed(value)
        if len(value) >= MATCHED_MIN + 2 and not decode.is_printed(value):
            if len(value) > _LONG_RUN:
                self.value(value, 0)
                return
            for form, made in magic.short_without_head(value):
                self._nest(form, 0, made)

    def headless_within(self, data: bytes) -> None:
        """The same for a value that may begin at any of the first bytes, and end anywhere."""
        for start in range(min(CARVED_MAX, len(data) - MATCHED_MIN)):
            self.value(data[start:], 0, any_end=True)

    def _nest(self, form: str, at: int, made: bytes, *, whole: bool = True) -> None:
        if self.place.spend(len(made)):
            nested = self.layer(form, at, whole=whole)
            nested.feed(made)
            nested.close()
        else:
            self.place.unread("decoding it would make too much: stopped")

    def _run(
        self, decoder: Decoder, window: bytes, start: int, *, at: int | None = None, weak: bool = False
    ) -> "_Running | None":
        running = _Running(self, decoder, start if at is None else at, weak)
        for step in _STEPS:
            running.feed(window[start : start + step])
            start += step
            if running.over:
                return None
            if start >= len(window):
                break
        if len(self._running) >= RUNNING_MAX:
            if not self._crowded and not weak:
                self._crowded = True
                self.place.unread(f"more than {RUNNING_MAX} compressed streams at once: not all were followed")
            running.close()
            return None
        self._running.append(running)
        return running

    def _unescape(self, window: bytes, last: bool) -> bool:
        """Take one layer of escapes off; False where there is none, so that what is in the text is in this layer."""
        if self._forms[-ESCAPED_MAX:].count(_ESCAPED) == ESCAPED_MAX:
            return False
        text = decode.text_of(window)
        if text is not window:  # binary, with text in places
            plain = decode.unescaped(text)
            if plain != text:
                self._nest(_ESCAPED, 0, plain, whole=False)
            return False
        start = max(0, self._plain_to - self._base) if self._plain is not None else 0
        end = len(window) - (0 if last else decode.cut_escape(window))
        text = window[start:end]
        plain = decode.unescaped(text)
        if plain != text:
            if self._plain is None:
                self._plain = self.layer(_ESCAPED, start, whole=self._whole and not self._base)
            self._plain.feed(plain)
            self._plain_to = self._base + end
            return True
        if self._plain is not None:
            self._plain.close()
            self._plain = None
        quoted = decode.quoted_printable(window)
        if quoted != window:
            self._nest("quoted-printable", 0, quoted, whole=False)
        return False

    def _runs(self, window: bytes, before: int, last: bool) -> None:
        pieces: list[bytes] = []
        first = 0
        for start, end in decode.runs(window):
            if end <= before or (start < before and before - start >= decode.RUN_MIN):
                continue  # the window before had it, whole or to follow
            if end - start >= _LONG_RUN or (end == len(window) and not last):
                for decoder in decode.run_decoders(window[start:end]):
                    self._run(decoder, window, start, weak=True)
                continue
            first = first or start
            text = window[start:end]
            an_id = decode.is_id(text)
            if an_id or end - start > decode.HEX_MIN:  # a letter or two may stand before the digits
                pieces += [self._short(each, start, "hex") for each in decode.hex_bytes(text)]
            if not an_id:
                pieces.append(self._short(decode.base64_bytes(text), start, "base64"))
                if end - start >= _OTHER_PHASES_FROM:
                    pieces += [decode.base64_bytes(text[phase:]) for phase in (1, 2, 3)]
        if pieces:
            self._nest("base64", first, _BETWEEN.join(pieces), whole=False)

    def _lists(self, window: bytes, before: int) -> None:
        for start, end, value in byte_lists.written(window):
            if end > before:
                self._nest("byte list", start, value)

    def _short(self, value: bytes, start: int, form: str) -> bytes:
        if len(value) >= MATCHED_MIN + 2 and not decode.is_printed(value):
            for name, made in magic.short_without_head(value):
                self._nest(f"{form} > {name}", start, made)
        return value

    def _join(self, window: bytes, keys: list[tuple[str, int]]) -> None:
        parts: dict[str, list[bytes]] = {}
        for key, key_end in keys:
            if self._base + key_end > self._joined_to and (short := decode.short_value(window, key_end)):
                parts.setdefault(key, []).append(short[0])
                self._joined_to = self._base + short[1]
        for key, texts in parts.items():
            if key not in self._joined:
                self._joined[key] = self.layer("joined pieces", 0, whole=False)
            self._joined[key].feed(b"".join(texts))


class _Running:
    """A decoder with the layer that it makes, begun when it makes something."""

    def __init__(self, parent: Stream, decoder: Decoder, at: int, weak: bool) -> None:
        self._decoder = decoder
        self._form = decoder.form
        self._begin: Callable[[], Stream] = lambda: parent.layer(self._form, at)
        self.place = parent.place
        self._weak = weak
        self._layer: Stream | None = None
        self._made = 0
        self.over = False

    def feed(self, data: bytes) -> None:
        if self.over:
            return
        for piece in self._decoder.feed(data):
            self._made += len(piece)
            if self._made > STREAM_MAX or not self.place.spend(len(piece)):
                self.place.unread(f"{self._form} becomes too much: stopped after {self._made} bytes")
                self._end()
                return
            if self._layer is None:
                self._layer = self._begin()
            self._layer.feed(piece)
        if self._decoder.done:
            if isinstance(self._decoder, ZipEntry) and self._decoder.encrypted:
                self.place.unread("an entry of a zip archive is encrypted")
            elif self._decoder.broken:
                self._gap("is broken")
            self._end()

    def close(self) -> None:
        if not self.over:
            if self._decoder.cut():
                self._gap("is cut off")
            self._end()

    def _gap(self, how: str) -> None:
        if self._made >= (_WEAK_MADE if self._weak else 1):
            self.place.unread(f"{self._form} {how} after {self._made} bytes")

    def _end(self) -> None:
        self.over = True
        if self._layer is not None:
            self._layer.close()
