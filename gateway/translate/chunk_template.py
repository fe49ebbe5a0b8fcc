"""Recognize chunks that differ from an earlier one only in their text, without parsing them.

Most chunks of a stream are equal to the previous one except for their text. A parsed chunk is kept as a template: the
bytes before and after its text. An event that begins and ends with these bytes, and has valid JSON string content
between them, differs from the template only in that string: both are identical up to the string, nothing in between can
end the string, and the rest is identical again.
"""

import re

from msgspec import Raw

from gateway.wire.openai import Fields

TRIES_MAX = 8
"""Maximum number of consecutive events that are learned without a match: if a stream's chunks differ in more than their
text, learning only costs time."""
EVENT_BYTES_MAX = 64 * 1024
"""Maximum size of a learned event in bytes: a chunk that is a complete answer, or an echoed prompt, does not repeat."""
_PLAIN = rb'[^"\\\x00-\x1f]*+'
_INSIDE = _PLAIN + rb'(?:\\["\\/bfnrt]' + _PLAIN + rb")*+"
"""Content of a JSON string without numeric escapes, of which not every value is valid."""
_STRING = re.compile(rb'"(?:content|text)":[ ]?"(' + _INSIDE + rb')"')
_is_text = re.compile(_INSIDE).fullmatch


class ChunkTemplate:
    """Hold a chunk with a gap for its text: the template."""

    __slots__ = ("_after", "_before", "fields")

    def __init__(self, fields: Fields, before: bytes, after: bytes) -> None:
        self.fields = fields
        self._before = before
        self._after = after

    @property
    def text_at(self) -> int:
        """Return the offset in bytes at which the text begins in the encoded choices."""
        return len(self._before)

    def filled(self, text: bytes) -> Fields:
        """Return the template's chunk with this text."""
        return {**self.fields, "choices": Raw(self._before + text + self._after)}


class ChunkTemplateReader:
    """Learn the template of one stream, and recognize its repetitions."""

    def __init__(self) -> None:
        self.template: ChunkTemplate | None = None
        """Template of the chunk that was learned last."""
        self._before = self._after = b""
        self._tries = 0

    def text_of(self, event: bytes) -> bytes | None:
        """Return the text of an event that repeats the template, or None for any other event."""
        if (
            self.template is None
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
        """Learn the template from an event and the chunk's fields parsed from it."""
        self.template = None
        self._tries += 1
        if self._tries > TRIES_MAX or len(event) > EVENT_BYTES_MAX:
            return
        choices = bytes(fields.get("choices", b""))
        found, again = list(_STRING.finditer(event)), list(_STRING.finditer(choices))
        if len(found) != 1 or len(again) != 1:
            return
        self._before, self._after = event[: found[0].start(1)], event[found[0].end(1) :]
        self.template = ChunkTemplate(fields, choices[: again[0].start(1)], choices[again[0].end(1) :])
