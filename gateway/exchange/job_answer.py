"""What a job's worker yields becomes the answer, to its end."""

from gateway.errors import OutputLostError
from gateway.exchange.answer import Answer
from gateway.exchange.queue_job import QueueJob
from gateway.exchange.record import Record
from gateway.translate.dialects.contract import Delta, Dialect
from gateway.translate.job_stream import Next

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}".encode()


async def read_answer(job: QueueJob, dialect: Dialect, answer: Answer, record: Record) -> None:
    """Pass on what the worker yields; closing the answer is the caller's.

    Raises:
        OutputLostError: The job completed, and its answer does not say that it is whole.
        GatewayError: The job or the worker failed.
    """
    while True:
        while job.stream.next is not Next.NOTHING and not dialect.is_over:
            deltas: list[Delta] = []
            for output in await job.read():
                record.replacement_characters += bytes(output).count(_REPLACEMENT)
                deltas.extend(dialect.read(output))
            await answer.take(deltas)
        if dialect.is_over or answer.is_whole or not dialect.marks_end:
            await answer.take(dialect.end())
            return
        if job.stream.is_doubted:
            raise OutputLostError("The worker's answer was cut short.")
        job.stream.doubt()
