"""Start the demo's parts in order, watch them, and end all of them in every case."""

import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

import anyio
import msgspec
from anyio.abc import TaskGroup

from gateway.demo.child import Child
from gateway.demo.plan import Plan
from gateway.demo.ready import NotReadyError, complete_once, wait_for_port

READY_S_MAX = 120.0
_STOP_GRACE_S = 3.0
# The SDK finishes its long poll before it reacts to SIGTERM, and its worker has nothing to save.
_WORKER_GRACE_S = 0.0


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """Describe why the demo ended: a complaint, with the last output of the part it is about, or nothing."""

    complaint: str = ""
    tail: Sequence[str] = ()


class Supervisor:
    """Run one demo from start to end."""

    def __init__(
        self,
        plan: Plan,
        *,
        announce: Callable[[], None],
        complain: Callable[[str], None],
        ready_s_max: float = READY_S_MAX,
    ) -> None:
        self._plan = plan
        self._ready_s_max = ready_s_max
        self._announce = announce
        self._complain = complain
        self._children: list[Child] = []
        self._ending: Ending | None = None
        self._waiting_for = "emulator"

    async def run(self) -> Ending:
        """Run until a signal, the end of a part, or a start that takes too long."""
        with (
            tempfile.TemporaryDirectory(prefix="fairpod-demo-", ignore_cleanup_errors=True) as directory,
            # Open until the end, so that a second Ctrl-C does not interrupt the cleanup.
            anyio.open_signal_receiver(*_signals()) as signals,
        ):
            try:
                async with anyio.create_task_group() as group:
                    group.start_soon(self._await_signal, group, signals)
                    group.start_soon(self._start, group, Path(directory))
            finally:
                with anyio.CancelScope(shield=True):
                    await self._stop()
        return self._ending or Ending()

    async def _start(self, group: TaskGroup, directory: Path) -> None:
        plan = self._plan
        environment = plan.environment(directory)
        configuration = directory / "fairpod.yaml"
        configuration.write_bytes(plan.configuration())
        with anyio.move_on_after(self._ready_s_max) as scope:
            await self._spawn(group, "emulator", plan.emulator_command(), environment)
            await self._spawn(group, "gateway", plan.gateway_command(configuration), environment)
            self._waiting_for = "emulator"
            await wait_for_port(plan.emulator_port)
            if plan.worker == "model":
                # Only now: while the emulator does not listen, the SDK asks for jobs without a pause.
                await self._spawn(group, "worker", plan.worker_command(), plan.worker_environment(directory))
            self._waiting_for = "gateway"
            await wait_for_port(plan.port)
            self._waiting_for = "worker" if plan.worker == "model" else "emulator"
            try:
                await complete_once(plan)
            except (NotReadyError, OSError) as error:
                self._end(group, Ending(complaint=str(error), tail=self._tail("gateway")))
                return
        if scope.cancelled_caught:
            complaint = f"Not ready after {self._ready_s_max:.0f} s: still waiting for the {self._waiting_for}."
            self._end(group, Ending(complaint=complaint, tail=self._tail(self._waiting_for)))
            return
        self._announce()

    async def _spawn(self, group: TaskGroup, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        # Shielded, so that a signal at this moment cannot lose a process that was just started.
        with anyio.CancelScope(shield=True):
            child = await Child.start(name, command, environment=environment, complain=self._complain)
            self._children.append(child)
        group.start_soon(child.read_output)
        group.start_soon(self._watch, group, child)

    async def _watch(self, group: TaskGroup, child: Child) -> None:
        how = await child.ended()
        self._end(group, Ending(complaint=f"The {child.name} {how}.", tail=tuple(child.tail)))

    async def _await_signal(self, group: TaskGroup, signals: AsyncIterator[signal.Signals]) -> None:
        async for _ in signals:
            self._end(group, Ending())
            return

    def _end(self, group: TaskGroup, ending: Ending) -> None:
        # The first ending is the cause; the others follow from it.
        self._ending = self._ending or ending
        group.cancel_scope.cancel()

    def _tail(self, name: str) -> tuple[str, ...]:
        return tuple(line for child in self._children if child.name == name for line in child.tail)

    async def _stop(self) -> None:
        async with anyio.create_task_group() as group:
            for child in self._children:
                grace_s = _WORKER_GRACE_S if child.name == "worker" else _STOP_GRACE_S
                group.start_soon(_stop_child, child, grace_s)


async def _stop_child(child: Child, grace_s: float) -> None:
    await child.stop(grace_s=grace_s)


def _signals() -> list[signal.Signals]:
    signals = [signal.SIGINT, signal.SIGTERM]
    # `nohup` ignores SIGHUP so that the process outlives the terminal.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signals.append(signal.SIGHUP)
    return signals
