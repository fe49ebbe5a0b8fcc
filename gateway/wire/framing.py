"""Limit the bytes of an HTTP/1.1 message that are not its body. Pure.

The HTTP parser exposes the lines of the head and the trailers, but not chunk extensions and the empty lines before a
message. Therefore all bytes fed to the parser are counted, and those that it returns as body are subtracted.
"""

FRAMING_PER_BODY_BYTE = 8
"""Framing bytes allowed per body byte. A chunk of one byte has five framing bytes (RFC 9112, 7.1): one digit and two
line ends. Three more allow for a size with leading zeros."""


class Framing:
    """Count the framing bytes of consecutive messages on one connection.

    Two limits apply. Before, after and between two pieces of the body, at most `bytes_max` bytes are allowed: head,
    trailers, interim responses or the extension of one chunk. In the whole message, `bytes_max` bytes are allowed in
    addition to those that its chunks need (`FRAMING_PER_BODY_BYTE` per body byte).
    """

    __slots__ = ("_bytes_max", "_since_body_bytes", "body_bytes", "framing_bytes")

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._since_body_bytes = 0
        self.body_bytes = 0
        self.framing_bytes = 0
        """Bytes of the current message so far that are not its body."""

    def feed(self, size: int) -> None:
        """Record that `size` bytes are about to be parsed."""
        self.framing_bytes += size
        self._since_body_bytes += size

    def give_body(self, size: int) -> None:
        """Record that `size` of the bytes that were fed are body."""
        self.body_bytes += size
        self.framing_bytes = max(0, self.framing_bytes - size)
        self._since_body_bytes = 0

    def end(self) -> None:
        """Reset all counts at the end of a message.

        The bytes fed together with the end count neither for this message nor for the next one.
        """
        self.body_bytes = self.framing_bytes = self._since_body_bytes = 0

    @property
    def is_exceeded(self) -> bool:
        """Return True if more framing bytes were fed than the limits allow."""
        allowed = self._bytes_max + FRAMING_PER_BODY_BYTE * self.body_bytes
        return self._since_body_bytes > self._bytes_max or self.framing_bytes > allowed
