"""Run one part of the demo as a child process: read its output, and end it with this process."""

import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from subprocess import DEVNULL
from typing import Self

import anyio
import msgspec
from anyio.abc import ByteReceiveStream, Process

TAIL_LINES = 20
_LINE_BYTES_MAX = 8 * 1024
_LAST_OUTPUT_S_MAX = 1.0
_KILL_S_MAX = 5.0
_QUIET_LEVELS = {"debug", "info", "trace", "tip"}


class _LogLine(msgspec.Struct, frozen=True, kw_only=True):
    level: str


_LOG_LINE = msgspec.json.Decoder(_LogLine)


def is_trouble(line: str, *, is_stderr: bool) -> bool:
    """Return True if a line of output deserves the user's attention: a warning, an error or a traceback."""
    try:
        level = _LOG_LINE.decode(line).level
    except msgspec.MsgspecError:
        return is_stderr and line.partition(":")[0].lower() not in _QUIET_LEVELS
    return level.lower() not in _QUIET_LEVELS


class Child:
    """Represent one running part of the demo."""

    def __init__(self, name: str, process: Process, *, complain: Callable[[str], None]) -> None:
        self.name = name
        self.pid = process.pid
        # One per stream: output on one cannot push out the last lines of the other.
        self._tails: dict[bool, deque[str]] = {is_stderr: deque(maxlen=TAIL_LINES // 2) for is_stderr in (False, True)}
        self._process = process
        self._complain = complain
        self._output_over = anyio.Event()

    @classmethod
    async def start(
        cls, name: str, command: Sequence[str], *, environment: Mapping[str, str], complain: Callable[[str], None]
    ) -> Self:
        """Start one of our modules, tied to this process, in its own session, which a Ctrl-C does not reach."""
        process = await anyio.open_process(
            [sys.executable, "-m", "gateway.server.parent_death", str(os.getpid()), "SIGKILL", *command],
            stdin=DEVNULL,
            env=environment,
            start_new_session=True,
        )
        return cls(name, process, complain=complain)

    @property
    def tail(self) -> list[str]:
        """Return the last lines of its stdout, then of its stderr."""
        return [*self._tails[False], *self._tails[True]]

    async def read_output(self) -> None:
        """Keep the last lines, and report those that look like trouble, until the process closes its output."""
        async with anyio.create_task_group() as group:
            for stream in (self._process.stdout, self._process.stderr):
                if stream is not None:
                    group.start_soon(self._read, stream)
        self._output_over.set()

    async def ended(self) -> str:
        """Wait for the end of the process. Return a description of it: its signal or its exit status."""
        status = await self._process.wait()
        with anyio.move_on_after(_LAST_OUTPUT_S_MAX):
            await self._output_over.wait()
        return f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"

    async def stop(self, *, grace_s: float) -> None:
        """Terminate the process; if it has not ended after `grace_s` seconds, kill its process group."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.terminate()
            with anyio.move_on_after(grace_s):
                await self._process.wait()
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        with anyio.move_on_after(_KILL_S_MAX):
            await self._process.aclose()

    async def _read(self, stream: ByteReceiveStream) -> None:
        is_stderr = stream is self._process.stderr
        rest = b""
        with suppress(anyio.ClosedResourceError):
            async for data in stream:
                *lines, rest = (rest + data).split(b"\n")
                if len(rest) > _LINE_BYTES_MAX:
                    lines, rest = [*lines, rest], b""
                for line in lines:
                    self._take(line, is_stderr=is_stderr)
        self._take(rest, is_stderr=is_stderr)

    def _take(self, line: bytes, *, is_stderr: bool) -> None:
        text = line[:_LINE_BYTES_MAX].decode(errors="replace").rstrip()
        if not text:
            return
        self._tails[is_stderr].append(text)
        if is_trouble(text, is_stderr=is_stderr):
            self._complain(f"{self.name}: {text}")
