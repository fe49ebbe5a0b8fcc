"""Convert the output of a job's worker to an answer, until its end."""

from collections.abc import Iterator, Sequence

import anyio.lowlevel
from msgspec import Raw

from gateway.errors import OutputLostError
from gateway.exchange.answer import Answer
from gateway.exchange.record import Record
from gateway.jobs.job_poller import JobPoller
from gateway.translate.dialects.contract import Delta, Dialect
from gateway.translate.job_stream import Next

PART_BYTES = 16 * 1024
"""Bytes of a page that are processed before other tasks run: about a millisecond of work. A page holds everything that
was yielded since the last one: if a client reads slowly, that is megabytes, which would block all others for a second.
"""
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}".encode()


async def read_answer(job: JobPoller, dialect: Dialect, answer: Answer, record: Record) -> None:
    """Pass on the output of the worker. The caller has to finish the answer.

    Raises:
        OutputLostError: The job completed, and its answer is not marked as complete.
        GatewayError: The job or the worker failed.
    """
    while True:
        while job.stream.next is not Next.NOTHING and not dialect.is_over:
            await _pass_on(await job.read(answer.memory), dialect, answer, record)
            job.has_text |= answer.has_text
        if dialect.is_over or answer.is_whole or not dialect.marks_end:
            await answer.take(dialect.end())
            return
        if job.stream.is_reconciled:
            raise OutputLostError("The worker's answer is incomplete.")
        job.stream.reconcile()


async def _pass_on(outputs: list[Raw], dialect: Dialect, answer: Answer, record: Record) -> None:
    """Pass on a page. Each of its outputs keeps the whole page in memory, so none may outlive this call."""
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
    """Yield the outputs of a page in parts, which end as soon as they reach PART_BYTES, with their sizes in bytes."""
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
