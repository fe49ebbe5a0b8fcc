"""Where a gateway listens, read from a configuration of which the rest does not matter."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
import yaml

from gateway.config.reading import fill
from gateway.config.sections import Listen


def read_listen(path: Path, environment: Mapping[str, str]) -> Listen:
    """Read the section `listen`; return its defaults if it is not there or cannot be read.

    Problems elsewhere in the file do not count: a gateway serves on while its file is being changed, or is wrong.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        section = raw.get("listen", {}) if isinstance(raw, dict) else {}
        return msgspec.convert(fill(section, "listen", environment, []), Listen, strict=False)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError, msgspec.ValidationError):
        return Listen()
