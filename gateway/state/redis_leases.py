"""Store leases in Redis or Valkey: one script, one round trip per heartbeat."""

import msgspec

from gateway.admission.lease_store import Beat, BeatAnswer, Grant, OvertakenError
from gateway.state.redis_connection import RedisScript

_LATE = -1
_OVERTAKEN = -2


class _Head(msgspec.Struct, frozen=True, array_like=True):
    state: int
    is_learning: bool
    grants: list[Grant]
    now_s: float = 0.0
    unreadable: int = 0


pack_beat = msgspec.msgpack.Encoder().encode
_read_head = msgspec.msgpack.Decoder(_Head).decode


def read_answer(answer: list[bytes]) -> BeatAnswer | None:
    """Parse the script's answer; None if a later heartbeat has overtaken this one.

    Raises:
        OvertakenError: Another process of this name lives.
    """
    head = _read_head(answer[0])
    if head.state == _OVERTAKEN:
        raise OvertakenError
    if head.state == _LATE:
        return None
    return BeatAnswer(
        is_learning=head.is_learning,
        grants=head.grants,
        reports={answer[i].decode(errors="replace"): answer[i + 1] for i in range(1, len(answer), 2)},
        now_s=head.now_s,
        unreadable=head.unreadable,
    )


class RedisLeases:
    """Implement a lease store at a URL."""

    def __init__(self, url: str, *, prefix: str) -> None:
        self._script = RedisScript(url, file="lease.lua", prefix=prefix, names=("leases", "reports", "state"))

    async def beat(self, beat: Beat, report: bytes) -> BeatAnswer | None:
        """Send one heartbeat and return the answer; None if a later heartbeat has overtaken it.

        Raises:
            StoreError: The store did not answer.
            OvertakenError: Another process of this name lives.
        """
        return read_answer(await self._script.run(pack_beat(beat), report))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._script.aclose()
