"""When the processes of `fairpod serve --workers` are started anew, and when they are given up."""

import socket

import anyio
import pytest

from gateway.restart_policy import FAILURES_MAX, PAUSE_S_FIRST, PAUSE_S_LAST
from gateway.server.processes import FAILED, MISUSED, _Workers
from gateway.server.run import WORKER_CANNOT_LISTEN


class Played(_Workers):
    """Processes that end at once: by these codes, one after the other, and then for ever by the last one."""

    def __init__(self, *codes: int) -> None:
        super().__init__(socket.socket(), [])
        self._listener.close()
        self._codes = list(codes)
        self.started_s: list[float] = []
        self.starts_max = 100

    async def _run(self, _number: int) -> int:
        self.started_s.append(anyio.current_time())
        if len(self.started_s) == self.starts_max:
            self.stop()
        return self._codes.pop(0) if len(self._codes) > 1 else self._codes[0]

    @property
    def pauses_s(self) -> list[float]:
        return [after - before for before, after in zip(self.started_s, self.started_s[1:], strict=False)]


@pytest.mark.parametrize(("code", "exit_code"), [(MISUSED, MISUSED), (WORKER_CANNOT_LISTEN, FAILED)])
async def test_what_another_start_would_not_mend_ends_all(code: int, exit_code: int) -> None:
    workers = Played(code)
    await workers.keep(0)
    assert (len(workers.started_s), workers.exit_code) == (1, exit_code)


async def test_a_process_that_dies_at_once_is_started_more_and_more_seldom_and_given_up() -> None:
    workers = Played(1, MISUSED)
    await workers.keep(0)
    assert workers.pauses_s == [pytest.approx(PAUSE_S_FIRST * 2**n, abs=0.01) for n in range(FAILURES_MAX - 1)]
    assert workers.exit_code == FAILED


async def test_it_is_not_given_up_while_another_one_runs() -> None:
    workers = Played(1)
    workers.starts_max = FAILURES_MAX + 3
    workers._processes.add(Living())  # type: ignore[arg-type]
    await workers.keep(0)
    assert workers.pauses_s[-4:] == [pytest.approx(PAUSE_S_LAST, abs=0.01)] * 4
    assert workers.exit_code == 0


async def test_a_pause_ends_when_they_are_to_stop() -> None:
    workers = Played(1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(workers.keep, 0)
        await anyio.sleep(20)
        started = len(workers.started_s)
        stopped_s = anyio.current_time()
        workers.stop()
    assert anyio.current_time() - stopped_s < PAUSE_S_FIRST
    assert len(workers.started_s) == started


class Living:
    """A process that runs on."""

    def send_signal(self, _signal: int) -> None:
        """Take no notice."""
