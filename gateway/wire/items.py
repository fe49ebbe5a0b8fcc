"""Read lists of raw values, and bound what they cost beyond their bytes.

Each value becomes an object of some hundred bytes, however short it is: four million that are empty are 12 MB on the
wire and 600 MB here.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from msgspec import Raw

ITEMS_MAX = 100_000
"""The most outputs of a page, which holds those since the last one: more than a minute of a thousand a second."""
COMMAS_MAX = 1_000_000
"""A list with more commas is not taken apart. There are ten for each value: a chunk with 20 log probabilities has a
hundred in 2.5 KB, so that the limit of a reply's bytes is reached first."""


class TooManyItemsError(msgspec.ValidationError):
    """Report a list with more than `ITEMS_MAX` values."""


_decode = msgspec.json.Decoder(list[Raw]).decode


def decode_items(body: bytes) -> list[Raw]:
    """Read a JSON array, its values left raw.

    Raises:
        TooManyItemsError: The array has too many values.
        msgspec.DecodeError: The text is no JSON array.
    """
    if len(body) > COMMAS_MAX and body.count(b",") > COMMAS_MAX:
        raise TooManyItemsError
    items = _decode(body)
    if len(items) > ITEMS_MAX:
        raise TooManyItemsError
    return items


class ItemCount:
    """Count the objects that one call of a decoder makes: each calls `add` from its `__post_init__`.

    A constraint on the length of a list is checked only when all of it was made.
    """

    def __init__(self) -> None:
        self._left = 0

    @contextmanager
    def bounded(self) -> Iterator[None]:
        """Begin to count, for one call that must not yield to other tasks."""
        self._left = ITEMS_MAX
        yield

    def add(self) -> None:
        """Count one.

        Raises:
            TooManyItemsError: There are too many objects.
        """
        self._left -= 1
        if self._left < 0:
            raise TooManyItemsError
