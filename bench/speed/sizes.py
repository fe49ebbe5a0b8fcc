"""What a request of the benchmark asks for: a line in its message, passed on by every gateway, read by the upstream."""

import re
from dataclasses import dataclass

_ORDER = re.compile(rb"#answer chunks=(\d+) interval_s=([\d.]+) page=(\d+) bytes=(\d+)")
STAMP = b"@"
"""Begins the time in each chunk's text and stands nowhere else in a stream: counting it counts chunks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The answer that is wanted."""

    chunks: int = 1
    interval_s: float = 0.0
    """Between two chunks; 0 is as fast as the upstream can."""
    page: int = 1
    """Outputs of one page, on the job route."""
    answer_bytes: int = 1024
    """Size of the text of an answer that is no stream."""

    def __str__(self) -> str:
        return f"#answer chunks={self.chunks} interval_s={self.interval_s} page={self.page} bytes={self.answer_bytes}"


def read_asked(body: bytes) -> Asked:
    """What this request wants; the defaults where it does not say."""
    found = _ORDER.search(body)
    if found is None:
        return Asked()
    chunks, interval_s, page, answer_bytes = found.groups()
    return Asked(chunks=int(chunks), interval_s=float(interval_s), page=int(page), answer_bytes=int(answer_bytes))


def request_body(asked: Asked, *, model: str, is_stream: bool, prompt_bytes: int = 0) -> bytes:
    """A chat request that wants this answer, with a prompt of at least this size."""
    text = f"{asked} {'x' * max(0, prompt_bytes - 200)}"
    stream = "true" if is_stream else "false"
    message = f'{{"model":"{model}","stream":{stream},"messages":[{{"role":"user","content":"{text}"}}]}}'
    return message.encode()
