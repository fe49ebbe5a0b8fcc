"""What a workload runs on: the cores, the upstream, the gateways that it asks for, and how long to measure."""

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.speed.cheap import run_load, upstream
from bench.speed.fetching import MissingError
from bench.speed.load_spec import Held, LoadResult, LoadSpec
from bench.speed.peers import KINDS, Peer
from bench.speed.processes import allow_many_files, cores
from bench.speed.readings import Readings


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured."""

    rounds: int
    window_s: float
    warmup_s: float
    clients: Sequence[int]
    tenants: Sequence[int]
    held_streams: int
    held_window_s: float
    trials: int


FULL = Scale(
    rounds=3,
    window_s=2.5,
    warmup_s=1,
    clients=(1, 32, 256),
    tenants=(1, 100, 10_000),
    held_streams=5000,
    held_window_s=15,
    trials=200,
)
QUICK = Scale(
    rounds=1,
    window_s=2,
    warmup_s=1,
    clients=(32,),
    tenants=(1, 100, 1000),
    held_streams=1000,
    held_window_s=5,
    trials=40,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a load comes, beside what it asks for."""

    clients: int = 32
    rate: float = 0.0
    held: Held | None = None
    scrapes_metrics: bool = True
    warmup_s: float | None = None
    window_s: float | None = None


class Stage:
    """Everything that runs; owned by `staged`."""

    def __init__(self, scale: Scale, *, upstream_port: int, gateway_core: int, other_core: int) -> None:
        self.scale = scale
        self.readings = Readings()
        self.upstream_port = upstream_port
        self.gateway_core = gateway_core
        self.other_core = other_core
        self._peers: dict[str, tuple[Peer, contextlib.ExitStack]] = {}

    def peers(self, *names: str) -> dict[str, Peer]:
        """These gateways, as far as they can be had, and no others beside them."""
        self.end_peers(keep=names)
        for kind in KINDS:
            if kind.name in names and kind.name not in self._peers and kind.name not in self.readings.missing:
                stack = contextlib.ExitStack()
                try:
                    peer = stack.enter_context(kind.start(self.gateway_core, self.upstream_port))
                except (MissingError, RuntimeError) as error:
                    self.readings.missing[kind.name] = str(error)
                else:
                    self._peers[kind.name] = (peer, stack)
        return {name: self._peers[name][0] for name in names if name in self._peers}

    def end_peers(self, *, keep: Sequence[str] = ()) -> None:
        """End those that are not needed any more."""
        for name in set(self._peers) - set(keep):
            self._peers.pop(name)[1].close()

    def load(self, peer: Peer, body: bytes, way: Way) -> LoadResult:
        """Run a load against a gateway and wait for its end."""
        scale, server = self.scale, peer.server
        spec = LoadSpec(
            port=server.port,
            body=body.decode(),
            keys=list(peer.keys),
            clients=way.clients,
            rate=way.rate,
            held=way.held,
            warmup_s=scale.warmup_s if way.warmup_s is None else way.warmup_s,
            window_s=scale.window_s if way.window_s is None else way.window_s,
            core=self.gateway_core,
            pids=server.pids,
            scrapes_metrics=peer.has_metrics and way.scrapes_metrics,
        )
        result = run_load(spec, core=self.other_core)
        self.readings.others.append(result.others_cpu_s / result.wall_s)
        return result


@contextlib.contextmanager
def staged(scale: Scale) -> Iterator[Stage]:
    """A stage with its upstream, and this process out of the gateway's way; at the end nothing of it runs any more.

    Raises:
        SystemExit: There are no two cores.
    """
    allow_many_files()
    allowed = os.sched_getaffinity(0)
    gateway_core, other_core = cores()
    os.sched_setaffinity(0, {other_core})
    try:
        with upstream(other_core) as up:
            stage = Stage(scale, upstream_port=up.port, gateway_core=gateway_core, other_core=other_core)
            try:
                yield stage
            finally:
                stage.end_peers()
    finally:
        os.sched_setaffinity(0, allowed)


def say(text: str) -> None:
    """What is going on, beside the result."""
    print(text, file=sys.stderr, flush=True)
