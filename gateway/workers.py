"""`fairpod serve --workers N`: N gateway processes that take turns at one listening socket.

Each is a replica of its own: they share limits through the store, as replicas on several machines do.
"""

import os
import signal
import socket
import sys

import anyio
from anyio.abc import Process

from gateway.server import cannot_listen, listen

WORKERS_MAX = 64
RESTART_S = 1.0
"""How long after its unforeseen end a process is started anew."""
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_MISUSED = 2


class _Workers:
    """The processes, and whether they are to end."""

    def __init__(self, listener: socket.socket, command: list[str]) -> None:
        self._listener = listener
        self._command = command
        self._processes: set[Process] = set()
        self._is_stopping = False
        self.exit_code = 0

    async def keep(self, number: int) -> None:
        """Run one process, and another one in its place should it end by itself."""
        is_first = True
        while not self._is_stopping:
            code = await self._run(number)
            if self._is_stopping:
                return
            if code == _MISUSED and is_first:
                # The next one would read the same configuration. Later the others serve by the one before it.
                self.exit_code = code
                self.stop()
                return
            is_first = False
            print(f"Worker {number} ended with code {code}; starting another one.", file=sys.stderr, flush=True)
            await anyio.sleep(RESTART_S)

    async def _run(self, number: int) -> int:
        fd = self._listener.fileno()
        command = [*self._command, "--worker", str(number), "--listener", str(fd)]
        # Held back until the process listens for it: before, it would end it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        try:
            # In a group of its own: a Ctrl-C is passed on from here, once, and not by the terminal as well.
            process = await anyio.open_process(
                command, stdin=None, stdout=None, stderr=None, pass_fds=[fd], start_new_session=True
            )
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        self._processes.add(process)
        if self._is_stopping:
            # The signal came while it was being started.
            process.send_signal(signal.SIGTERM)
        try:
            return await process.wait()
        finally:
            self._processes.discard(process)

    def reload(self) -> None:
        """Let each process read the configuration anew."""
        for process in self._processes:
            process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        """Let each process drain; said a second time, each hurries."""
        self._is_stopping = True
        for process in self._processes:
            process.send_signal(signal.SIGTERM)


def run_workers(count: int, *, config: str | None, host: str, port: int) -> int:
    """Run so many processes until SIGTERM or Ctrl-C; return the exit code."""
    try:
        listener = listen(host, port)
    except OSError as error:
        return cannot_listen(host, error)
    # Should this process be killed, its workers drain and end.
    command = [sys.executable, "-m", "gateway.tether", str(os.getpid()), "SIGTERM", "gateway", "serve"]
    command += ["--host", host, "--port", str(listener.getsockname()[1]), "--processes", str(count)]
    command += [] if config is None else ["--config", str(config)]
    with listener:
        workers = _Workers(listener, command)
        anyio.run(_keep_all, workers, count)
    return workers.exit_code


async def _keep_all(workers: _Workers, count: int) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_pass_signals_on, workers)
        async with anyio.create_task_group() as keeping:
            for number in range(count):
                keeping.start_soon(workers.keep, number)
        tasks.cancel_scope.cancel()


async def _pass_signals_on(workers: _Workers) -> None:
    with anyio.open_signal_receiver(*_SIGNALS, signal.SIGHUP) as signals:
        async for received in signals:
            if received is signal.SIGHUP:
                workers.reload()
            else:
                workers.stop()
