"""Count the memory that one answer in progress uses in this process."""

from gateway.errors import AnswersFullError
from gateway.fairshare.memory_shares import MemoryReservation, MemoryShares
from gateway.upstream.job_api import RETRY_S, UNCOUNTED_BYTES

WHOLE_COPIES = 2
"""Number of copies of an answer in one piece: as the worker wrote it, and as the client receives it."""
OUTPUT_BYTES = 128
"""Memory of an output of a page beyond its own bytes: 115 measured."""
FEW_OUTPUTS = 500


class AnswerMemory:
    """Count the bytes being read, and those kept until they can be passed on. The owner has to call `leave`."""

    def __init__(self, room: MemoryShares, tenant: str, *, is_whole: bool) -> None:
        """Create it; `is_whole` means that nothing is passed on before the end."""
        self._place = MemoryReservation(room, tenant)
        self._is_whole = is_whole
        self._reply_bytes = 0
        self._kept_bytes = 0
        self._text_bytes = 0

    def reply(self, size: int) -> None:
        """Set the size of the current reply, in bytes; it replaces the size of the reply before it.

        Raises:
            AnswersFullError: There is no room for it.
        """
        self._reply_bytes = size
        self._hold()

    def reply_outputs(self, count: int) -> None:
        """Record the number of outputs that the reply was split into.

        Raises:
            AnswersFullError: There is no room for them.
        """
        if count > FEW_OUTPUTS:
            self.reply(self._reply_bytes + count * OUTPUT_BYTES)

    def took(self, size: int, *, is_understood: bool) -> None:
        """Record that `size` bytes were read, and whether they became deltas that can be passed on.

        Raises:
            AnswersFullError: There is no room for the bytes that are kept.
        """
        if self._is_whole:
            self._kept_bytes += WHOLE_COPIES * size
        elif not is_understood:
            self._kept_bytes += size
        elif self._kept_bytes:
            self._kept_bytes = 0
        else:
            return
        self._hold()

    def keeps_text(self, size: int) -> None:
        """Set the bytes of text that were passed on and have to be repeated at the end.

        Raises:
            AnswersFullError: There is no room for them.
        """
        self._text_bytes = WHOLE_COPIES * size
        self._hold()

    def leave(self) -> None:
        """Release everything. It may be called more than once."""
        self._place.leave()

    def _hold(self) -> None:
        size = self._reply_bytes + self._kept_bytes + self._text_bytes
        if size <= UNCOUNTED_BYTES:
            size = 0
        # Most answers stay below UNCOUNTED_BYTES and never change what is held.
        if size != self._place.held_bytes and not self._place.hold(size):
            raise AnswersFullError(retry_after_s=RETRY_S)


class _Uncounted(AnswerMemory):
    def _hold(self) -> None:
        return


UNCOUNTED: AnswerMemory = _Uncounted(MemoryShares(0), "", is_whole=False)
"""Place for an answer whose size is not counted."""
