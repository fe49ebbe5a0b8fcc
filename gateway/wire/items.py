"""Decode lists of raw JSON values, and limit the memory that they need beyond their bytes.

Each value becomes an object of about a hundred bytes, however short it is: four million empty values are 12 MB on the
wire and 600 MB in memory.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from msgspec import Raw

ITEMS_MAX = 100_000
"""Maximum number of outputs on a page, which holds those since the previous page: more than one minute of output at a
thousand per second."""
COMMAS_MAX = 1_000_000
"""Maximum number of commas in a list that is decoded. This is ten per value: a chunk with 20 log probabilities has a
hundred commas in 2.5 KB, so the size limit of a reply takes effect first."""


class TooManyItemsError(msgspec.ValidationError):
    """Report a list with more than `ITEMS_MAX` values, or more than `COMMAS_MAX` commas."""


_decode = msgspec.json.Decoder(list[Raw]).decode


def decode_items(body: bytes) -> list[Raw]:
    """Decode a JSON array into its raw values.

    Raises:
        TooManyItemsError: The array has too many values.
        msgspec.DecodeError: The text is not a JSON array.
    """
    if len(body) > COMMAS_MAX and body.count(b",") > COMMAS_MAX:
        raise TooManyItemsError
    items = _decode(body)
    if len(items) > ITEMS_MAX:
        raise TooManyItemsError
    return items


class ItemCount:
    """Count the objects that one call of a decoder creates: each object calls `add` from its `__post_init__`.

    A msgspec constraint on the length of a list is checked only after the whole list was created.
    """

    def __init__(self) -> None:
        self._left = 0

    @contextmanager
    def bounded(self) -> Iterator[None]:
        """Start counting for one decoder call, which must not yield to other tasks."""
        self._left = ITEMS_MAX
        yield

    def add(self) -> None:
        """Count one object.

        Raises:
            TooManyItemsError: There are too many objects.
        """
        self._left -= 1
        if self._left < 0:
            raise TooManyItemsError
