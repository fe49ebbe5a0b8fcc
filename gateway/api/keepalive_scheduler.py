"""Schedule keep-alive data for clients that wait: proxies and clients time out after a long silence."""

from collections import deque
from collections.abc import Awaitable, Callable

import anyio

Write = Callable[[], Awaitable[None]]


class KeepAliveScheduler:
    """Run the tasks that write keep-alive data: one task for each write, because a client may be slow to read."""

    def __init__(self, report: Callable[[str, Exception], None]) -> None:
        """Create the writer; `report` receives the request id and the exception of a write that failed."""
        self._report = report
        self._due: deque[tuple[str, Write]] = deque()
        self._is_asked = anyio.Event()

    async def run(self) -> None:
        """Start a task for each scheduled write, until cancelled."""
        async with anyio.create_task_group() as tasks:
            while True:
                self._is_asked = anyio.Event()
                while self._due:
                    tasks.start_soon(self._write, *self._due.popleft())
                await self._is_asked.wait()

    def schedule(self, request_id: str, write: Write) -> None:
        """Schedule a write in a task of its own. Can be called from timer callbacks, which cannot start tasks."""
        self._due.append((request_id, write))
        self._is_asked.set()

    async def _write(self, request_id: str, write: Write) -> None:
        try:
            await write()
        except Exception as error:  # noqa: BLE001 - a failed write to one client must not stop the others' writes.
            self._report(request_id, error)
