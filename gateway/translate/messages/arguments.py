"""Follow the arguments of one tool call, which arrive in pieces and have to be a JSON object."""

import re

import msgspec

from gateway.errors import OutputLostError

NOT_AN_OBJECT = "The worker sent a tool call whose arguments are not a JSON object."
_NONE = ("null", "[]", '""')
"""Arguments that workers send for a call without arguments, besides an empty text."""
_MARKS = re.compile(r'\\.|["{}\[\]]', re.DOTALL)
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Arguments:
    """Hold the arguments of a call, and notice their end."""

    def __init__(self) -> None:
        self.is_complete = False
        """True if the object has ended."""
        self._parts: list[str] = []
        self._lead = ""
        """Text before the object begins."""
        self._depth = 0
        self._is_string = False
        self._rest = ""
        """Backslash at the end of the last piece."""

    def add(self, piece: str) -> str:
        """Add a piece; return what is part of the object.

        Raises:
            OutputLostError: It is not an object.
        """
        if not self._parts:
            piece, self._lead = self._lead + piece, ""
            begin = piece.lstrip()
            if not begin.startswith("{"):
                if not any(each.startswith(begin.rstrip()) for each in _NONE):
                    raise OutputLostError(NOT_AN_OBJECT)
                self._lead = piece
                return ""
        if piece:
            self._parts.append(piece)
            self._follow(piece)
        return piece

    def end(self, *, is_cut: bool) -> str:
        """End the arguments; return what is still to be written: an empty object, if there was none.

        Raises:
            OutputLostError: They are not a JSON object, and were not cut short by the maximum of tokens.
        """
        if not self._parts:
            return "{}"
        if not is_cut:
            try:
                _decode_object("".join(self._parts))
            except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
                raise OutputLostError(NOT_AN_OBJECT) from None
        return ""

    def _follow(self, piece: str) -> None:
        piece = self._rest + piece
        backslashes = len(piece) - len(piece.rstrip("\\"))
        self._rest = "\\" if backslashes % 2 else ""
        for mark in _MARKS.findall(piece):
            if mark == '"':
                self._is_string = not self._is_string
            elif self._is_string:
                continue
            elif mark in "{[":
                self._depth += 1
            elif mark in "}]":
                self._depth -= 1
                self.is_complete = self._depth == 0
