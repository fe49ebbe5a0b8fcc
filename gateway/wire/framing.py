"""Bound the bytes of an HTTP/1.1 message that are not its body. Pure.

The parser hands over the lines of the head and of the trailers, and hides chunk extensions and the empty lines before a
message. So all bytes are counted as they are fed to it, and those that it gives out as body are taken off again.
"""

FRAMING_PER_BODY_BYTE = 8
"""A chunk of one byte has five bytes beside it (RFC 9112, 7.1): one digit and two line ends. Three more allow for a
size that is written with leading zeros."""


class Framing:
    """Count the bytes of one message after the other.

    Two bounds hold. Between two pieces of the body, and before and after it, there may be `bytes_max` bytes: head,
    trailers, interim responses or the extension of one chunk. In the whole message there may be as many, and those that
    its chunks need.
    """

    __slots__ = ("_bytes_max", "_since_body_bytes", "body_bytes", "framing_bytes")

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._since_body_bytes = 0
        self.body_bytes = 0
        self.framing_bytes = 0
        """The bytes of the message so far that are not its body."""

    def feed(self, size: int) -> None:
        """Note that `size` bytes are about to be parsed."""
        self.framing_bytes += size
        self._since_body_bytes += size

    def give_body(self, size: int) -> None:
        """Note that `size` of the bytes that were fed are body."""
        self.body_bytes += size
        self.framing_bytes = max(0, self.framing_bytes - size)
        self._since_body_bytes = 0

    def end(self) -> None:
        """Note that the message is over: what was fed with its end counts neither for it nor for the next one."""
        self.body_bytes = self.framing_bytes = self._since_body_bytes = 0

    @property
    def is_exceeded(self) -> bool:
        """Tell whether more was fed than the body needs and the bound allows."""
        allowed = self._bytes_max + FRAMING_PER_BODY_BYTE * self.body_bytes
        return self._since_body_bytes > self._bytes_max or self.framing_bytes > allowed
