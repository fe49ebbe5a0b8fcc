"""Run the model: llama.cpp's server engine in this process, with one object per answer in progress."""

import asyncio
import os
import queue
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, Self

import msgspec

from gateway.demo.request import CHOICES_MAX, MODEL_NAME, Generate

# As many concurrent answers as one request may ask for alternatives.
SLOTS = CHOICES_MAX
CONTEXT_TOKENS = 4096
# Small batches: between two of them a long prompt can be stopped, and other answers can proceed.
_BATCH_TOKENS = 64
# One core stays free: llama.cpp's threads busy-wait for each other, so that one without its own core slows all of
# them to a tenth. Measured on two cores beside other work: 2 threads 6 to 67 tokens/s, 1 thread 43 to 62.
_THREADS_MAX = 4
_EVENTS_WAITING_MAX = 64
# The interval at which a thread that waits for its reader checks whether it was stopped.
_LOOK_UP_S = 0.1

# A message that is neither question nor answer (a system message) becomes plain text.
CHAT_TEMPLATE = """\
{%- for message in messages -%}
{%- if message.role == 'user' -%}
{{ 'Question: ' + message.content + '\\n' }}
{%- elif message.role == 'assistant' -%}
{{ 'Answer: ' + message.content + '\\n\\n' }}
{%- else -%}
{{ message.content + '\\n\\n' }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ 'Answer:' }}
{%- endif -%}
"""


class Engine(Protocol):
    """Describe the used part of xllamacpp's `Server`. A callback receives JSON and returns True to stop."""

    def handle_chat_completions(self, body: bytes, callback: Callable[[bytes], bool], /) -> None:
        """Answer a chat."""

    def handle_completions(self, body: bytes, callback: Callable[[bytes], bool], /) -> None:
        """Continue a text."""


class Model:
    """Hold a loaded model that answers up to `SLOTS` requests at once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._threads = ThreadPoolExecutor(SLOTS, thread_name_prefix="generation")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Load the file. It may be deleted afterwards: the memory map keeps its bytes."""
        # Imported here: it takes a hundred megabytes, which only the worker process needs.
        import xllamacpp  # noqa: PLC0415

        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(path)
        parameters.model_alias = {MODEL_NAME}
        parameters.n_parallel = SLOTS
        parameters.n_ctx = SLOTS * CONTEXT_TOKENS
        parameters.n_batch = parameters.n_ubatch = _BATCH_TOKENS
        parameters.cpuparams.n_threads = max(1, min(_THREADS_MAX, (os.cpu_count() or 1) - 1))
        parameters.use_jinja = True
        parameters.chat_template = CHAT_TEMPLATE
        # A base model this small goes off topic at high temperatures and repeats itself at low ones. DRY prevents the
        # latter: the plain penalty counts the prompt too, with the word "Question", at which an answer has to stop.
        parameters.sampling.temp = 0.1
        parameters.sampling.dry_multiplier = 0.8
        parameters.warmup = False
        # The cache would keep prompts in up to 8 GB of memory.
        parameters.cache_ram_mib = 0
        parameters.verbosity = 0
        # The engine also opens a port on 127.0.0.1, which cannot be disabled; a random key closes it to clients.
        parameters.api_keys = [os.urandom(16).hex()]
        parameters.ui = False
        return cls(xllamacpp.Server(parameters))

    def start(self, generate: Generate) -> "Generation":
        """Start an answer. Must be called in an event loop."""
        answer = self._engine.handle_chat_completions if generate.is_chat else self._engine.handle_completions
        generation = Generation()
        self._threads.submit(generation.run, answer, generate.body)
        return generation

    def close(self) -> None:
        """Wait for the answers in progress, and accept no new ones."""
        self._threads.shutdown(cancel_futures=True)


class Generation:
    """Pass one answer from the engine's thread to the event loop, until it ends or is stopped."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._events: queue.Queue[bytes | None] = queue.Queue(_EVENTS_WAITING_MAX)
        self._arrived = asyncio.Event()
        self._stopped = False

    def run(self, answer: Callable[[bytes, Callable[[bytes], bool]], None], body: bytes) -> None:
        """Run the engine, which blocks until the end, in the calling thread."""
        try:
            answer(body, self._take)
        except (ValueError, TypeError, RuntimeError) as error:
            # The binding raises these for a request that it cannot read.
            self._take(msgspec.json.encode({"error": {"code": 400, "message": str(error)}}))
        finally:
            self._take(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    async def events(self) -> AsyncIterator[list[bytes]]:
        """Yield the engine's events in lists of all that have arrived."""
        is_over = False
        while not is_over:
            await self._arrived.wait()
            self._arrived.clear()
            waiting = [self._events.get_nowait() for _ in range(self._events.qsize())]
            is_over = None in waiting
            if events := [event for event in waiting if event is not None]:
                yield events

    def stop(self) -> None:
        """Stop the engine at its next token. Has no effect after the end."""
        self._stopped = True

    def _take(self, event: bytes | None) -> bool:
        """Put an event (None for the end), waiting while the reader is behind. Return True to stop the engine."""
        # Never waits for the loop itself: a loop that is closing would not respond.
        while not self._stopped:
            try:
                self._events.put(event, timeout=_LOOK_UP_S)
                self._loop.call_soon_threadsafe(self._arrived.set)
            except queue.Full:
                if self._loop.is_closed():
                    return True
            except RuntimeError:
                # The loop is closed, so there is no reader.
                return True
            else:
                return False
        return True
