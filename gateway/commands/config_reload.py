"""Reload a changed configuration while the gateway serves: on SIGHUP, and when the file's content has changed."""

import signal

import anyio
from anyio import to_thread

from gateway.app import Gateway
from gateway.config.config_file import ConfigFile
from gateway.config.loader import ConfigError, Problem

LOOK_S = 2.0
"""Seconds between two looks at the files; a change is taken at the second look that finds it."""

SETTLE_S = 0.25
"""Seconds between two looks at the file after SIGHUP."""
SETTLE_LOOKS_MAX = 40
"""Maximum number of looks at a file that is still being written: after ten seconds it is read as it is."""


class ConfigReloader:
    """Read the configuration of a gateway that serves, one reading at a time. No other code reads it."""

    def __init__(self, gateway: Gateway, file: ConfigFile) -> None:
        self._gateway = gateway
        self._file = file
        self._reading = anyio.Lock()

    async def run(self) -> None:
        """Reload on SIGHUP and on changes until cancelled."""
        try:
            async with anyio.create_task_group() as tasks:
                with anyio.open_signal_receiver(signal.SIGHUP) as signals:
                    tasks.start_soon(self._watch)
                    async for _ in signals:
                        await self._reload(is_asked_for=True)
        finally:
            # Ignored until this task runs again after a failure: by default SIGHUP ends a process.
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    async def _watch(self) -> None:
        while True:
            await anyio.sleep(LOOK_S)
            await self._reload(is_asked_for=False)

    async def _settle(self) -> None:
        """Wait until two looks at the file agree: half of it may be a valid configuration without the last tenants."""
        await to_thread.run_sync(self._file.is_settled, abandon_on_cancel=True)
        for _ in range(SETTLE_LOOKS_MAX):
            await anyio.sleep(SETTLE_S)
            if await to_thread.run_sync(self._file.is_settled, abandon_on_cancel=True):
                return

    async def _reload(self, *, is_asked_for: bool) -> None:
        """Read the file and take it. A file that cannot be taken leaves the running configuration in place."""
        async with self._reading:
            try:
                if is_asked_for:
                    await self._settle()
                # In a thread: parsing the files of a thousand tenants takes longer than a stream may pause.
                if is_asked_for or await to_thread.run_sync(self._file.has_changed, abandon_on_cancel=True):
                    self._gateway.take(await to_thread.run_sync(self._file.read, abandon_on_cancel=True))
            except ConfigError as error:
                self._gateway.refuse(error.problems)
            except Exception as error:  # noqa: BLE001 - an unforeseen error in a file must not end the gateway.
                self._gateway.exchanges.report("", error)
                self._gateway.refuse([Problem("", f"cannot be read: {type(error).__name__}")])
