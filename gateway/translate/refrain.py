"""Most chunks of a stream are the one before them with another text. Who knows that need not take them apart.

A chunk that was read whole is kept as the bytes before and after its text. One that begins and ends with the same ones,
and has between them what can stand in a JSON string, differs from it in that string alone: up to the string the two
read alike byte by byte, nothing in between can end it, and what follows is the same again.
"""

import re

from msgspec import Raw

from gateway.wire.openai import Fields

TRIES_MAX = 8
"""In a row, of a stream whose chunks differ in more than their text: learning them would only cost time."""
EVENT_BYTES_MAX = 64 * 1024
"""A chunk that is a whole answer, or a prompt told back, has no other like it."""
_PLAIN = rb'[^"\\\x00-\x1f]*+'
_INSIDE = _PLAIN + rb'(?:\\["\\/bfnrt]' + _PLAIN + rb")*+"
"""What stands between a string's quotes, without escapes by number, which not every number makes valid."""
_STRING = re.compile(rb'"(?:content|text)":[ ]?"(' + _INSIDE + rb')"')
_is_text = re.compile(_INSIDE).fullmatch


class Refrain:
    """A chunk with a gap for its text."""

    __slots__ = ("_after", "_before", "fields")

    def __init__(self, fields: Fields, before: bytes, after: bytes) -> None:
        self.fields = fields
        self._before = before
        self._after = after

    @property
    def text_at(self) -> int:
        """Where in the choices the text begins."""
        return len(self._before)

    def filled(self, text: bytes) -> Fields:
        """The chunk with this text."""
        return {**self.fields, "choices": Raw(self._before + text + self._after)}


class RefrainReader:
    """Finds the refrain of one stream, and knows it again."""

    def __init__(self) -> None:
        self.refrain: Refrain | None = None
        """That of the chunk that was learnt last."""
        self._before = self._after = b""
        self._tries = 0

    def text_of(self, event: bytes) -> bytes | None:
        """The text of an event that is the refrain again; None where it is not."""
        if (
            self.refrain is None
            or len(event) > EVENT_BYTES_MAX
            or not (event.startswith(self._before) and event.endswith(self._after))
        ):
            return None
        text = event[len(self._before) : len(event) - len(self._after)]
        if len(self._before) + len(self._after) > len(event) or not _is_text(text):
            return None
        if not text.isascii():
            try:
                text.decode()
            except UnicodeDecodeError:
                return None
        self._tries = 0
        return text

    def learn(self, event: bytes, fields: Fields) -> None:
        """An event that was read as a chunk of these fields: the next one may be like it."""
        self.refrain = None
        self._tries += 1
        if self._tries > TRIES_MAX or len(event) > EVENT_BYTES_MAX:
            return
        choices = bytes(fields.get("choices", b""))
        found, again = list(_STRING.finditer(event)), list(_STRING.finditer(choices))
        if len(found) != 1 or len(again) != 1:
            return
        self._before, self._after = event[: found[0].start(1)], event[found[0].end(1) :]
        self.refrain = Refrain(fields, choices[: again[0].start(1)], choices[again[0].end(1) :])
