"""What one answer under way takes of this process's memory."""

from gateway.errors import AnswersFullError
from gateway.fairshare.room import Place, Room
from gateway.upstream.job_api import RETRY_S, UNCOUNTED_BYTES

WHOLE_COPIES = 2
"""An answer in one piece is there as the worker wrote it, and as its client reads it."""
OUTPUT_BYTES = 128
"""What an output of a page takes beyond its bytes: 115 measured."""
FEW_OUTPUTS = 500


class AnswerPlace:
    """Counts what is being read, and what is kept of it until it can be passed on. Its owner has to leave it."""

    def __init__(self, room: Room, tenant: str, *, is_whole: bool) -> None:
        """`is_whole` tells that nothing is passed on before the end."""
        self._place = Place(room, tenant)
        self._is_whole = is_whole
        self._reply_bytes = 0
        self._kept_bytes = 0

    def reply(self, size: int) -> None:
        """Note that a reply has so many bytes by now, in the place of the one before it.

        Raises:
            AnswersFullError: There is no room for it.
        """
        self._reply_bytes = size
        self._hold()

    def reply_outputs(self, count: int) -> None:
        """Note how many outputs the reply was taken apart into.

        Raises:
            AnswersFullError: There is no room for them.
        """
        if count > FEW_OUTPUTS:
            self.reply(self._reply_bytes + count * OUTPUT_BYTES)

    def took(self, size: int, *, is_understood: bool) -> None:
        """Note that so many bytes were read, and whether they became something that can be passed on.

        Raises:
            AnswersFullError: There is no room for what is kept.
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

    def leave(self) -> None:
        """Hold nothing any more. May be called again."""
        self._place.leave()

    def _hold(self) -> None:
        size = self._reply_bytes + self._kept_bytes
        if size <= UNCOUNTED_BYTES:
            size = 0
        # Most answers never count for anything.
        if size != self._place.held_bytes and not self._place.hold(size):
            raise AnswersFullError(retry_after_s=RETRY_S)


class _Uncounted(AnswerPlace):
    def _hold(self) -> None:
        return


UNCOUNTED: AnswerPlace = _Uncounted(Room(0), "", is_whole=False)
"""For an answer whose size is no matter."""
