"""What a job's worker yields becomes the answer, to its end."""

from collections.abc import Iterator, Sequence

import anyio.lowlevel
from msgspec import Raw

from gateway.errors import OutputLostError
from gateway.exchange.answer import Answer
from gateway.exchange.queue_job import QueueJob
from gateway.exchange.record import Record
from gateway.translate.dialects.contract import Delta, Dialect
from gateway.translate.job_stream import Next

PART_BYTES = 16 * 1024
"""Of a page, before others have their turn: about a millisecond's work. A page brings all that was yielded since the
last one, which is megabytes where a client reads slowly, and would hold everybody up for a second."""
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}".encode()


async def read_answer(job: QueueJob, dialect: Dialect, answer: Answer, record: Record) -> None:
    """Pass on what the worker yields; closing the answer is the caller's.

    Raises:
        OutputLostError: The job completed, and its answer does not say that it is whole.
        GatewayError: The job or the worker failed.
    """
    while True:
        while job.stream.next is not Next.NOTHING and not dialect.is_over:
            await _pass_on(await job.read(answer.memory), dialect, answer, record)
            job.has_text |= answer.has_text
        if dialect.is_over or answer.is_whole or not dialect.marks_end:
            await answer.take(dialect.end())
            return
        if job.stream.is_doubted:
            raise OutputLostError("The worker's answer was cut short.")
        job.stream.doubt()


async def _pass_on(outputs: list[Raw], dialect: Dialect, answer: Answer, record: Record) -> None:
    """Pass on a page. Its outputs hold all of it in memory, and end with this call."""
    for number, (part, size) in enumerate(parts(outputs)):
        if number:
            await anyio.lowlevel.checkpoint()
        deltas: list[Delta] = []
        for output in part:
            record.replacement_characters += bytes(output).count(_REPLACEMENT)
            deltas.extend(dialect.read(output))
        answer.memory.took(size, is_understood=bool(deltas))
        await answer.take(deltas)


def parts(outputs: Sequence[Raw]) -> Iterator[tuple[list[Raw], int]]:
    """A page's outputs, in parts that are no larger than it takes to reach PART_BYTES, and their sizes in bytes."""
    part: list[Raw] = []
    size = 0
    for output in outputs:
        part.append(output)
        size += len(bytes(output))
        if size >= PART_BYTES:
            yield part, size
            part, size = [], 0
    if part:
        yield part, size
