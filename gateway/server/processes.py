"""Run N gateway processes that accept from one listening socket, for `fairpod serve --workers N`.

Each process is a separate replica: they share limits through the store, as replicas on several machines do.
"""

import os
import signal
import socket
import sys

import anyio
from anyio.abc import Process

from gateway.restart_policy import PAUSE_S_LAST, Restarts
from gateway.server.run import WORKER_CANNOT_LISTEN, cannot_listen, listen

WORKERS_MAX = 64
FAILED, MISUSED = 1, 2
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_FAULTS_THAT_LAST = {MISUSED: MISUSED, WORKER_CANNOT_LISTEN: FAILED}
"""Exit codes of a process that cannot start, mapped to the exit codes of the parent."""


class _Workers:
    """Start, restart and stop the processes."""

    def __init__(self, listener: socket.socket, command: list[str]) -> None:
        self._listener = listener
        self._command = command
        self._processes: set[Process] = set()
        self._stopping = anyio.Event()
        self.exit_code = 0

    async def keep(self, number: int) -> None:
        """Run one process, and restart it if it ends by itself.

        If a process is given up and no other one runs, all end: the listening socket is still open in this process, so
        clients would connect and wait.
        """
        restarts, is_first = Restarts(), True
        while not self._stopping.is_set():
            started_s = anyio.current_time()
            code = await self._run(number)
            if self._stopping.is_set():
                return
            if is_first and code in _FAULTS_THAT_LAST:
                # A restart would fail in the same way. After a first success it is restarted in any case: the other
                # processes still serve with the previous configuration.
                self._fail(_FAULTS_THAT_LAST[code])
                return
            is_first = False
            pause_s = restarts.failed(ran_s=anyio.current_time() - started_s)
            if pause_s is None and not self._processes:
                print(
                    f"Process {number} exited with code {code}, and no other process is running.",
                    file=sys.stderr,
                    flush=True,
                )
                self._fail(FAILED)
                return
            print(f"Process {number} exited with code {code} and will be restarted.", file=sys.stderr, flush=True)
            with anyio.move_on_after(PAUSE_S_LAST if pause_s is None else pause_s):
                await self._stopping.wait()

    def _fail(self, code: int) -> None:
        self.exit_code = self.exit_code or code
        self.stop()

    async def _run(self, number: int) -> int:
        fd = self._listener.fileno()
        command = [*self._command, "--worker", str(number), "--listener", str(fd)]
        # SIGHUP stays blocked until the process handles it: by default it would end the process.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        try:
            # In a separate session: a Ctrl-C is only forwarded from here, and not sent by the terminal as well.
            process = await anyio.open_process(
                command, stdin=None, stdout=None, stderr=None, pass_fds=[fd], start_new_session=True
            )
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        self._processes.add(process)
        if self._stopping.is_set():
            # The signal arrived while the process was being started.
            process.send_signal(signal.SIGTERM)
        try:
            return await process.wait()
        finally:
            self._processes.discard(process)

    def reload(self) -> None:
        """Make each process read the configuration again."""
        for process in self._processes:
            process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        """Make each process drain; a second call makes each skip the rest of its drain."""
        self._stopping.set()
        for process in self._processes:
            process.send_signal(signal.SIGTERM)


def run_workers(count: int, *, config: str | None, host: str, port: int) -> int:
    """Run `count` processes until SIGTERM or Ctrl-C; return the exit code."""
    try:
        listener = listen(host, port)
    except OSError as error:
        return cannot_listen(host, error)
    # If this process is killed, the others receive SIGTERM, drain and end.
    command = [sys.executable, "-m", "gateway.server.parent_death", str(os.getpid()), "SIGTERM", "gateway", "serve"]
    command += ["--host", host, "--port", str(listener.getsockname()[1]), "--processes", str(count)]
    command += [] if config is None else ["--config", str(config)]
    with listener:
        return anyio.run(_keep_all, listener, command, count)


async def _keep_all(listener: socket.socket, command: list[str], count: int) -> int:
    workers = _Workers(listener, command)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_pass_signals_on, workers)
        async with anyio.create_task_group() as keeping:
            for number in range(count):
                keeping.start_soon(workers.keep, number)
        tasks.cancel_scope.cancel()
    return workers.exit_code


async def _pass_signals_on(workers: _Workers) -> None:
    with anyio.open_signal_receiver(*_SIGNALS, signal.SIGHUP) as signals:
        async for received in signals:
            if received is signal.SIGHUP:
                workers.reload()
            else:
                workers.stop()
