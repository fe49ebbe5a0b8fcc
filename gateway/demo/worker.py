"""Run `python -m gateway.demo.worker`: a real model behind the real Runpod SDK, in worker-vllm's formats."""

import asyncio
import multiprocessing
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from gateway.demo.answer import DONE, Answer, Chunk, event, fold
from gateway.demo.model import SLOTS, Generation, Model
from gateway.demo.request import MODEL_NAME, Generate, ListModels, RequestError, read
from gateway.demo.weights import WeightsError, model_file

Output = str | dict[str, object]


class Worker:
    """Answer the jobs that the SDK takes."""

    def __init__(self, model: Model) -> None:
        self._model = model

    async def handle(self, job: dict[str, object]) -> AsyncIterator[Output]:
        """Answer one job: yield events for a stream, one completion otherwise, `{"error": …}` for a bad request."""
        try:
            task = read(job.get("input"))
        except RequestError as error:
            yield _error_output(error)
            return
        if isinstance(task, ListModels):
            yield _model_list()
            return
        with self._model.start(task) as generation:
            _stop_with_this_task(generation)
            answer = Answer(alternatives=task.alternatives)
            outputs = _stream(generation, answer, task) if task.stream else _whole(generation, answer)
            async with aclosing(outputs):
                async for output in outputs:
                    yield output


async def _stream(generation: Generation, answer: Answer, task: Generate) -> AsyncGenerator[Output]:
    """Yield events, several in one string if the reader is behind."""
    started = False
    try:
        async for chunks in _chunks(generation, answer):
            yield "".join(event(chunk) for chunk in chunks)
            started = True
    except RequestError as error:
        if not started:
            yield _error_output(error)
            return
        # Too late for the job to fail: report the error in the stream, as vLLM does.
        yield event(_error_output(error)) + DONE
        return
    yield (event(answer.usage_chunk()) if task.includes_usage else "") + DONE


async def _whole(generation: Generation, answer: Answer) -> AsyncGenerator[Output]:
    """Yield one completion."""
    try:
        chunks = [chunk async for batch in _chunks(generation, answer) for chunk in batch]
    except RequestError as error:
        yield _error_output(error)
        return
    yield fold(chunks, answer.usage())


async def _chunks(generation: Generation, answer: Answer) -> AsyncGenerator[list[Chunk]]:
    async for events in generation.events():
        if chunks := [chunk for data in events if (chunk := answer.read(data)) is not None]:
            yield chunks


def _stop_with_this_task(generation: Generation) -> None:
    # A cancelled job's task often ends outside this generator (while the SDK posts an output), which leaves the
    # generator open: without this the model would go on to the last token.
    if (task := asyncio.current_task()) is not None:
        task.add_done_callback(lambda _: generation.stop())


def _error_output(error: RequestError) -> dict[str, object]:
    return {"error": {"message": str(error), "type": error.kind, "param": None, "code": error.status}}


def _model_list() -> dict[str, object]:
    return {
        "object": "list",
        "data": [{"id": MODEL_NAME, "object": "model", "created": 0, "owned_by": "fairpod"}],
    }


def main() -> int:
    """Load the model, then take jobs until the process ends. Return 1 if the model cannot be loaded."""
    try:
        import runpod  # noqa: PLC0415

        with model_file() as path:
            model = Model.load(path)
    except (ImportError, WeightsError) as error:
        # ImportError is also raised for a shared library that a slim image lacks, such as libgomp.
        print(f"The demo's model cannot be loaded: {error}", file=sys.stderr)
        return 1
    if sys.platform == "linux":
        # Only a plain fork of this process is tied to it, and newer Python versions do not fork the SDK's ping process.
        multiprocessing.set_start_method("fork")
    runpod.serverless.start(
        {
            "handler": Worker(model).handle,
            "return_aggregate_stream": True,
            "concurrency_modifier": lambda _: SLOTS,
        }
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
