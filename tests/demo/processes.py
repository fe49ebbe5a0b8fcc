"""Looking at processes by id, as the kernel sees them."""

import contextlib
from pathlib import Path

from tests.waiting import eventually


def is_running(pid):
    """Whether the process exists and is more than an exit status that nobody has collected."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def descendants(pid):
    """Every process below this one."""
    children = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        children.setdefault(parent, []).append(int(stat.parent.name))
    found = list(children.get(pid, []))
    for child in found:
        found += children.get(child, [])
    return found


def wait_until_gone(pids):
    """The ids that are still running after a long while."""
    with contextlib.suppress(AssertionError):
        eventually(lambda: not any(is_running(pid) for pid in pids))
    return [pid for pid in pids if is_running(pid)]
