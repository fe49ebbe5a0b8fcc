"""`python -m gateway.tether PARENT SIGNAL MODULE …`: run a module in a process that its parent's death signals."""

import ctypes
import os
import runpy
import signal
import sys

_PR_SET_PDEATHSIG = 1


class Tether:
    """Ties processes to their parents. Linux only: elsewhere a parent that is killed leaves its children behind."""

    def __init__(self, at_death: signal.Signals) -> None:
        self._at_death = at_death
        # Looked up now, because a freshly forked process should do as little as possible.
        self._prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None
        self._forking = 0

    def tie(self, parent: int) -> None:
        """Let the kernel signal this process when `parent` ends, and end now if it already has."""
        if self._prctl is not None:
            self._prctl(_PR_SET_PDEATHSIG, self._at_death, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    def tie_forks(self) -> None:
        """Do the same in every process forked from here: the setting is not inherited, and the SDK forks one."""

        def before() -> None:
            self._forking = os.getpid()

        os.register_at_fork(before=before, after_in_child=lambda: self.tie(self._forking))


def main() -> None:
    """Become the module, tied."""
    tether = Tether(signal.Signals[sys.argv[2]])
    tether.tie(int(sys.argv[1]))
    tether.tie_forks()
    sys.argv = sys.argv[3:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
