"""Read the configuration file and the key files that it names, and detect changes to them.

Changes are detected by comparing the content, because nothing else is reliable: Kubernetes updates a mounted ConfigMap
by replacing a symbolic link in its path, an editor may write in place, and a modification time may be set back.
"""

import hashlib
import stat
from collections.abc import Mapping
from pathlib import Path

import msgspec

from gateway.config.loader import ConfigError, Problem, key_problem, load_config
from gateway.config.schema import Config, EndpointSection


class _Print(msgspec.Struct, frozen=True):
    """Identify one state of a file."""

    content: bytes
    mtime_ns: int
    inode: int
    size: int


class ConfigFile:
    """Represent the configuration on disk. Every call reads files, so it must not run on the event loop."""

    def __init__(self, path: Path, environment: Mapping[str, str]) -> None:
        self._path = path
        self._environment = environment
        self._read: dict[Path, _Print | None] = {}
        self._seen: dict[Path, _Print | None] = {}

    def read(self) -> Config:
        """Read and validate the file again, including the environment and the key files.

        Raises:
            ConfigError: The configuration is invalid; `problems` lists everything found.
        """
        # Fingerprints are taken before a file is read: `has_changed` then detects a change in between.
        self._read = {self._path: _print_of(self._path)}
        config = load_config(self._path, self._environment)
        problems: list[Problem] = []
        endpoints = [self._with_key(index, section, problems) for index, section in enumerate(config.endpoints)]
        if problems:
            raise ConfigError(problems)
        return msgspec.structs.replace(config, endpoints=endpoints)

    def has_changed(self) -> bool:
        """Return True if the content differs from the last `read`, and did not change since the previous check.

        A file that is being written is ignored until two checks in a row find the same state.
        """
        return self.is_settled() and _contents(self._seen) != _contents(self._read)

    def is_settled(self) -> bool:
        """Return True if the files are unchanged since the previous check, so that none is being written."""
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
            problems.append(Problem(path, "is not valid UTF-8 text"))
        else:
            if problem := key_problem(api_key):
                problems.append(Problem(path, problem))
            return msgspec.structs.replace(section, api_key=api_key)
        return section


def _print_of(path: Path) -> _Print | None:
    """Return the state of a file; None if it does not exist, and for a pipe, which can be read only once."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            return None
        return _Print(hashlib.sha256(path.read_bytes()).digest(), found.st_mtime_ns, found.st_ino, found.st_size)
    except OSError:
        return None


def _contents(prints: Mapping[Path, _Print | None]) -> dict[Path, bytes | None]:
    return {path: None if found is None else found.content for path, found in prints.items()}
