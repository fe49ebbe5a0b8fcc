"""Files that follow from others and are committed: compared always, written only when asked."""

import os
import pathlib

import pytest

VARIABLE = "FAIRPOD_WRITE_SNAPSHOTS"


def is_writing() -> bool:
    """Whether somebody asked for new files."""
    return os.environ.get(VARIABLE) == "1"


def assert_is_committed(file: pathlib.Path, text: str) -> None:
    """Hold a file against what it should be; a run that writes is never green."""
    if is_writing():
        if not file.exists() or file.read_text() != text:
            file.write_text(text)
            pytest.fail(f"{file.name} is written: read the difference, then run without {VARIABLE}")
        return
    assert file.exists(), f"{file.name} is missing; {VARIABLE}=1 writes it"
    assert file.read_text() == text, f"{file.name} differs; {VARIABLE}=1 writes it, and you read the difference"
