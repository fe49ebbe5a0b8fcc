"""Keep the key that `fairpod serve` makes if it has none, in a file that only its owner can read.

The key is never printed where output is collected. The output of a container ends in log files and log stores, even
with a terminal (`docker run -t`), so only the path is printed there.
"""

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from gateway.config.keys import KEY_PREFIX

NAME = "client-key"
_KEY = re.compile(rf"{KEY_PREFIX}[A-Za-z0-9_-]{{32,}}")
_CONTAINER_MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"))
"""Files that Docker and Podman put into each container."""


class KeptKey(msgspec.Struct, frozen=True):
    """Hold a key and the path of its file."""

    key: str
    path: Path


def keep_key(new_key: str, environment: Mapping[str, str]) -> KeptKey | None:
    """Return the key of an earlier start, or write the new one; None if no file can be written.

    Clients keep their key over a restart, as long as the file is there.
    """
    for path in _places(environment):
        try:
            return KeptKey(_read_or_write(path, new_key), path)
        except OSError:
            continue
    return None


def is_told(*, is_terminal: bool, environment: Mapping[str, str], process: int) -> bool:
    """Return True if a key may be printed: to a person at a terminal, outside of containers."""
    is_container = (
        process == 1 or "KUBERNETES_SERVICE_HOST" in environment or any(mark.exists() for mark in _CONTAINER_MARKS)
    )
    return is_terminal and not is_container


def _places(environment: Mapping[str, str]) -> Iterator[Path]:
    """Yield the possible paths of the file, best first: https://specifications.freedesktop.org/basedir-spec/latest/."""
    if state := environment.get("XDG_STATE_HOME"):
        yield Path(state) / "fairpod" / NAME
    if home := environment.get("HOME"):
        yield Path(home) / ".local" / "state" / "fairpod" / NAME
    yield Path(tempfile.gettempdir()) / f"fairpod-{os.geteuid()}" / NAME


def _read_or_write(path: Path, new_key: str) -> str:
    """Return the key in the file; if there is none, create the file with the new one.

    Raises:
        OSError: The folder or the file cannot be made or read, or others may read it or own it.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_owner(path.parent.lstat(), others=0o022)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "r+", encoding="ascii", errors="replace") as file:
        _check_owner(os.fstat(descriptor), others=0o077)
        found = file.read(1024).strip()
        if _KEY.fullmatch(found):
            return found
        file.seek(0)
        file.truncate()
        file.write(f"{new_key}\n")
    return new_key


def _check_owner(found: os.stat_result, *, others: int) -> None:
    if found.st_uid != os.geteuid() or found.st_mode & others:
        raise PermissionError("it belongs to another user, or other users have access to it")
