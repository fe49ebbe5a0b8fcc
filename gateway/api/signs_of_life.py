"""What is written to a client that waits: proxies and clients take a long silence for the end."""

from collections import deque
from collections.abc import Awaitable, Callable

import anyio
import msgspec

Write = Callable[[], Awaitable[None]]


class Rhythm(msgspec.Struct, frozen=True, kw_only=True):
    """How long an answer may be silent before it shows life, in seconds."""

    comment_s: float = 10.0
    """A stream's comment. Also how long its status line is held back, so that an early failure can still be an HTTP
    error; proxies on the way cut silence of 60 s."""
    chunk_s: float = 60.0
    """A stream's empty chunk: LangChain gives up 120 s after the last chunk, and counts no comments."""
    blank_s: float = 50.0
    """A blank line before the JSON of an answer that is no stream, as DeepSeek sends it. The price is a 200 that may
    have to be broken off, so not before proxies would give up."""


class SignsOfLife:
    """Owns the tasks that write them: one for each sign, since a client may be slow to take it."""

    def __init__(self, report: Callable[[str, Exception], None]) -> None:
        """`report` takes the id of a request and what went wrong with its sign."""
        self._report = report
        self._due: deque[tuple[str, Write]] = deque()
        self._is_asked = anyio.Event()

    async def run(self) -> None:
        """Write them, until cancelled."""
        async with anyio.create_task_group() as tasks:
            while True:
                self._is_asked = anyio.Event()
                while self._due:
                    tasks.start_soon(self._show, *self._due.popleft())
                await self._is_asked.wait()

    def show(self, request_id: str, write: Write) -> None:
        """Have one written, beside everything else. To be called by timers, who are no task and cannot begin one."""
        self._due.append((request_id, write))
        self._is_asked.set()

    async def _show(self, request_id: str, write: Write) -> None:
        try:
            await write()
        except Exception as error:  # noqa: BLE001 - one client's sign must not end those of the others.
            self._report(request_id, error)
