"""The configuration file and the key files that it names: read, and looked at for changes.

It is looked at by its content, because no notice of a change can be relied on: a mounted ConfigMap is exchanged by
turning a symbolic link above it, an editor may write in place, and a time stamp may be set back.
"""

import hashlib
import stat
from collections.abc import Mapping
from pathlib import Path

import msgspec

from gateway.config.reading import ConfigError, Problem, key_problem, load_config
from gateway.config.sections import Config, EndpointSection


class _Print(msgspec.Struct, frozen=True):
    """What tells one state of a file from another."""

    content: bytes
    mtime_ns: int
    inode: int
    size: int


class ConfigFile:
    """One configuration, as it stands on the disk. Every call reads files: not for the event loop."""

    def __init__(self, path: Path, environment: Mapping[str, str]) -> None:
        self._path = path
        self._environment = environment
        self._read: dict[Path, _Print | None] = {}
        self._seen: dict[Path, _Print | None] = {}

    def read(self) -> Config:
        """Read and check everything anew, the environment and the key files as well.

        Raises:
            ConfigError: With every problem found.
        """
        # Each print is taken before the file is read: what changes in between is seen at the next look.
        self._read = {self._path: _print_of(self._path)}
        config = load_config(self._path, self._environment)
        problems: list[Problem] = []
        endpoints = [self._with_key(index, section, problems) for index, section in enumerate(config.endpoints)]
        if problems:
            raise ConfigError(problems)
        return msgspec.structs.replace(config, endpoints=endpoints)

    def has_changed(self) -> bool:
        """Whether it holds something else than when it was last read, and already did so the last time it was asked.

        One that is being written is left alone until two looks agree.
        """
        return self.is_settled() and _contents(self._seen) != _contents(self._read)

    def is_settled(self) -> bool:
        """Tell whether the file is unchanged since the last look, and so is not being written."""
        before, self._seen = self._seen, {path: _print_of(path) for path in self._read}
        return self._seen == before

    def _with_key(self, index: int, section: EndpointSection, problems: list[Problem]) -> EndpointSection:
        if section.api_key_file is None:
            return section
        path, file = f"endpoints[{index}].api_key_file", Path(section.api_key_file)
        self._read[file] = _print_of(file)
        try:
            api_key = file.read_text(encoding="utf-8")
        except OSError as error:
            problems.append(Problem(path, str(error)))
        except UnicodeDecodeError:
            problems.append(Problem(path, "is not text"))
        else:
            if problem := key_problem(api_key):
                problems.append(Problem(path, problem))
            return msgspec.structs.replace(section, api_key=api_key)
        return section


def _print_of(path: Path) -> _Print | None:
    """None for what is not there, and for a pipe, which can be read only once."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            return None
        return _Print(hashlib.sha256(path.read_bytes()).digest(), found.st_mtime_ns, found.st_ino, found.st_size)
    except OSError:
        return None


def _contents(prints: Mapping[Path, _Print | None]) -> dict[Path, bytes | None]:
    return {path: None if found is None else found.content for path, found in prints.items()}
