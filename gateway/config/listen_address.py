"""Read the listen address from a configuration file whose other sections may be invalid."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
import yaml

from gateway.config.loader import fill
from gateway.config.schema import Listen


def read_listen(path: Path, environment: Mapping[str, str]) -> Listen:
    """Read the section `listen`; return its defaults if it is missing or invalid.

    Problems elsewhere in the file are ignored: a running gateway keeps serving while its file is edited or invalid.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        section = raw.get("listen", {}) if isinstance(raw, dict) else {}
        return msgspec.convert(fill(section, "listen", environment, []), Listen, strict=False)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError, msgspec.ValidationError):
        return Listen()
