"""What the kernel knows of a process: its CPU time and its memory."""

import os
import pathlib
import time
from collections.abc import Iterable

_SCHEDULED = 2
"""The kind of clock that counts time on a CPU: CPUCLOCK_SCHED in Linux's posix-timers."""


def cpu_s(pids: Iterable[int]) -> float:
    """Seconds of CPU, user and system, of all threads of these processes, ended threads included.

    It is read in nanoseconds, where /proc/PID/stat counts in hundredths of a second. The clock's id is made from the
    process id as `clock_getcpuclockid(3)` does.
    """
    return sum(time.clock_gettime((~pid << 3) | _SCHEDULED) for pid in pids)


def core_busy_s(core: int) -> float:
    """Seconds that this core was not idle since the machine started, whoever kept it busy; in hundredths."""
    for line in pathlib.Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _waiting, *others = map(int, ticks)
            return (user + nice + system + sum(others[:3])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def rss_kb(pids: Iterable[int]) -> int:
    """Resident kilobytes now."""
    return sum(_status_kb(pid, "VmRSS") for pid in pids)


def peak_rss_kb(pids: Iterable[int]) -> int:
    """The most resident kilobytes since the start or the last `forget_peak`."""
    return sum(_status_kb(pid, "VmHWM") for pid in pids)


def forget_peak(pids: Iterable[int]) -> None:
    """Let the peak be what is resident now."""
    for pid in pids:
        pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")


def tree(pid: int) -> list[int]:
    """This process and all below it."""
    found = [pid]
    for each in found:
        for children in pathlib.Path(f"/proc/{each}/task").glob("*/children"):
            found += [int(child) for child in children.read_text().split()]
    return found


def _status_kb(pid: int, name: str) -> int:
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    return 0
