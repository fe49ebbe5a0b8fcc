"""Run a module in a process that the kernel signals when its parent ends.

Usage: `python -m gateway.server.parent_death PARENT SIGNAL MODULE …`.
"""

import ctypes
import os
import runpy
import signal
import sys

_PR_SET_PDEATHSIG = 1


class Tether:
    """Tie processes to their parents. Linux only: elsewhere a parent that is killed leaves its children running."""

    def __init__(self, at_death: signal.Signals) -> None:
        self._at_death = at_death
        # Looked up here, because a forked process should do as little as possible.
        self._prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None
        self._forking = 0

    def tie(self, parent: int) -> None:
        """Make the kernel signal this process when `parent` ends, and exit now if it has already ended."""
        if self._prctl is not None:
            self._prctl(_PR_SET_PDEATHSIG, self._at_death, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    def tie_forks(self) -> None:
        """Tie every process forked from here too: the setting is not inherited, and the SDK forks a process."""

        def before() -> None:
            self._forking = os.getpid()

        os.register_at_fork(before=before, after_in_child=lambda: self.tie(self._forking))


def main() -> None:
    """Tie this process to its parent, and run the module in it."""
    tether = Tether(signal.Signals[sys.argv[2]])
    tether.tie(int(sys.argv[1]))
    tether.tie_forks()
    sys.argv = sys.argv[3:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
