"""A TCP proxy for tests: each connection through it has its own trouble, which a seed chooses."""

import asyncio
import contextlib
import random
import socket
import struct
from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType, TracebackType
from typing import Self
from urllib.parse import urlsplit

import msgspec

from tests.fakes.raw_server import abort

PIECE_BYTES = 65536
DRIPPED_BYTES_MAX = 3000
"""So much comes byte by byte; then enough of it was seen."""
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)


class Kind(StrEnum):
    """What can happen to a connection."""

    PASS = "pass"
    RESET = "reset"
    """RST to both sides, after some bytes in one direction."""
    CLOSE = "close"
    """An orderly end to both sides, wherever they are in their talk."""
    HALF_OPEN = "half-open"
    """Nothing is forwarded any more, in either direction, and nobody is told."""
    STALL = "stall"
    """The same for some seconds; then it goes on."""
    DELAY = "delay"
    """Every piece comes late."""
    DRIP = "drip"
    """One byte at a time."""


CALM: Mapping[Kind, float] = MappingProxyType({Kind.PASS: 1.0})


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to one connection, and when."""

    kind: Kind
    is_up: bool
    """Whether the bytes towards the server are counted, or those towards the client."""
    after_bytes: int
    seconds: float
    """How long a stall lasts; a hundredth of it is the delay of a piece."""


def choose(mix: Mapping[Kind, float], seed: str, number: int) -> Trouble:
    """The trouble of the connection with this number. The same arguments always give the same."""
    chance = random.Random(f"{seed}/{number}")
    return Trouble(
        kind=chance.choices(list(mix), list(mix.values()))[0],
        is_up=chance.random() < 0.3,
        after_bytes=int(10 ** chance.uniform(0, 4.3)),
        seconds=chance.uniform(0.5, 3.0),
    )


class _Connection:
    """One connection: the client's socket, the server's, and what befalls them."""

    def __init__(self, trouble: Trouble, met: Counter[Kind]) -> None:
        self._trouble = trouble
        self._met = met
        self._writers: list[asyncio.StreamWriter] = []
        self._goes_on = asyncio.Event()
        self._goes_on.set()
        self._is_cut = False

    async def carry(self, client: tuple[asyncio.StreamReader, asyncio.StreamWriter], target: tuple[str, int]) -> None:
        """Forward in both directions until both have ended."""
        self._writers = [client[1]]
        try:
            server = await asyncio.open_connection(*target)
            self._writers.append(server[1])
            await asyncio.gather(
                self._forward(client[0], server[1], is_up=True), self._forward(server[0], client[1], is_up=False)
            )
        except OSError:
            self.cut(with_reset=True)
        finally:
            for writer in self._writers:
                writer.close()

    def cut(self, *, with_reset: bool) -> None:
        """End it, on both sides."""
        self._is_cut = True
        for writer in self._writers:
            if with_reset:
                with contextlib.suppress(OSError):
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
                abort(writer)
            else:
                writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_up: bool) -> None:
        trouble = self._trouble
        left = trouble.after_bytes if trouble.is_up is is_up else None
        while piece := await reader.read(PIECE_BYTES):
            if left is not None and len(piece) > left:
                await self._write(writer, piece[:left])
                piece, left = piece[left:], None
                await self._strike()
            elif left is not None:
                left -= len(piece)
            await self._goes_on.wait()
            if self._is_cut:
                return
            await self._write(writer, piece)
        await self._goes_on.wait()
        if not self._is_cut and writer.can_write_eof():
            writer.write_eof()

    async def _strike(self) -> None:
        self._met[self._trouble.kind] += 1
        match self._trouble.kind:
            case Kind.RESET | Kind.CLOSE:
                self.cut(with_reset=self._trouble.kind is Kind.RESET)
            case Kind.HALF_OPEN:
                self._goes_on.clear()
            case Kind.STALL:
                self._goes_on.clear()
                await asyncio.sleep(self._trouble.seconds)
                self._goes_on.set()
            case _:
                pass

    async def _write(self, writer: asyncio.StreamWriter, piece: bytes) -> None:
        if self._trouble.kind is Kind.DELAY:
            await asyncio.sleep(self._trouble.seconds / 100)
        drips = DRIPPED_BYTES_MAX if self._trouble.kind is Kind.DRIP else 0
        for byte in piece[:drips]:
            writer.write(bytes((byte,)))
            await asyncio.sleep(0)
        writer.write(piece[drips:])
        await writer.drain()


class Proxy:
    """Listens on loopback for the length of an `async with`, and forwards to `target`, an HTTP address."""

    def __init__(self) -> None:
        self.url = ""
        self.target = ""
        self.met: Counter[Kind] = Counter()
        """How often each trouble struck since the last brew."""
        self._mix = CALM
        self._seed = ""
        self._number = 0
        self._live: dict[asyncio.Task[None], _Connection] = {}

    def brew(self, mix: Mapping[Kind, float], seed: str) -> None:
        """Choose the troubles of the connections to come from this mix."""
        self._mix, self._seed, self._number = mix, seed, 0
        self.met = Counter()

    def cut_all(self) -> None:
        """Reset every connection."""
        for connection in self._live.values():
            connection.cut(with_reset=True)
        for task in self._live:
            task.cancel()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=1024)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        self.cut_all()
        await asyncio.gather(*self._live, return_exceptions=True)
        # The transports close in the loop's next turns.
        await asyncio.sleep(0.01)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(choose(self._mix, self._seed, self._number), self.met)
        self._number += 1
        address = urlsplit(self.target)
        carried = connection.carry((reader, writer), (address.hostname or "", address.port or 0))
        task = asyncio.get_running_loop().create_task(carried)
        self._live[task] = connection
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        del self._live[task]
        if not task.cancelled():
            task.exception()
