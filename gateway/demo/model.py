"""The model itself: llama.cpp's server engine in this process, and one object per answer it is giving."""

import asyncio
import os
import queue
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, Self

import msgspec

from gateway.demo.request import CHOICES_MAX, MODEL_NAME, Generate

# As many answers at once as one request may ask alternatives.
SLOTS = CHOICES_MAX
CONTEXT_TOKENS = 4096
# Small batches: between two of them a long prompt can be stopped and other answers get their turn.
_BATCH_TOKENS = 64
# One core stays free: llama.cpp's threads wait for each other busily, so that one without a core of its own slows all
# to a tenth. Measured on two cores beside other work: 2 threads 6 to 67 tokens/s, 1 thread 43 to 62.
_THREADS_MAX = 4
_EVENTS_WAITING_MAX = 64
# How often a thread that waits for its reader looks whether it was stopped.
_LOOK_UP_S = 0.1

# What is neither question nor answer (a system message) is text before them.
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
    """The part of xllamacpp's `Server` that is used. A callback gets JSON and returns True to stop."""

    def handle_chat_completions(self, body: bytes, callback: Callable[[bytes], bool], /) -> None:
        """Answer a chat."""

    def handle_completions(self, body: bytes, callback: Callable[[bytes], bool], /) -> None:
        """Continue a text."""


class Model:
    """A loaded model that answers up to `SLOTS` requests at once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._threads = ThreadPoolExecutor(SLOTS, thread_name_prefix="generation")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Load the file. It may go afterwards: the memory map keeps its bytes."""
        # Imported here: a hundred megabytes that only the worker process needs.
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
        # A base model this small drifts off when it is hot, and repeats itself when it is cold. Against the latter DRY,
        # as the plain penalty counts the prompt too, and in it the word "Question" at which an answer has to stop.
        parameters.sampling.temp = 0.1
        parameters.sampling.dry_multiplier = 0.8
        parameters.warmup = False
        # It would keep prompts in up to 8 GB of memory.
        parameters.cache_ram_mib = 0
        parameters.verbosity = 0
        # The engine also opens a port on 127.0.0.1 that cannot be turned off; a key nobody knows closes it.
        parameters.api_keys = [os.urandom(16).hex()]
        parameters.ui = False
        return cls(xllamacpp.Server(parameters))

    def start(self, generate: Generate) -> "Generation":
        """Begin to answer; must be called in an event loop."""
        answer = self._engine.handle_chat_completions if generate.is_chat else self._engine.handle_completions
        generation = Generation()
        self._threads.submit(generation.run, answer, generate.body)
        return generation

    def close(self) -> None:
        """Wait for the answers that are being given, and take no new ones."""
        self._threads.shutdown(cancel_futures=True)


class Generation:
    """One answer on its way from the engine's thread to the event loop, until it ends or is stopped."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._events: queue.Queue[bytes | None] = queue.Queue(_EVENTS_WAITING_MAX)
        self._arrived = asyncio.Event()
        self._stopped = False

    def run(self, answer: Callable[[bytes, Callable[[bytes], bool]], None], body: bytes) -> None:
        """Let the engine answer, in a thread of its own: it blocks until the end."""
        try:
            answer(body, self._take)
        except (ValueError, TypeError, RuntimeError) as error:
            # What the binding raises about a request it cannot read.
            self._take(msgspec.json.encode({"error": {"code": 400, "message": str(error)}}))
        finally:
            self._take(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    async def events(self) -> AsyncIterator[list[bytes]]:
        """The engine's events, as many at a time as there are."""
        is_over = False
        while not is_over:
            await self._arrived.wait()
            self._arrived.clear()
            waiting = [self._events.get_nowait() for _ in range(self._events.qsize())]
            is_over = None in waiting
            if events := [event for event in waiting if event is not None]:
                yield events

    def stop(self) -> None:
        """Make the engine stop at its next token. Harmless after the end."""
        self._stopped = True

    def _take(self, event: bytes | None) -> bool:
        """Hand an event over, None for the end, waiting while the reader is behind; True tells the engine to stop."""
        # Never waits for the loop itself: a loop that is closing would not answer.
        while not self._stopped:
            try:
                self._events.put(event, timeout=_LOOK_UP_S)
                self._loop.call_soon_threadsafe(self._arrived.set)
            except queue.Full:
                if self._loop.is_closed():
                    return True
            except RuntimeError:
                # The loop is closed, and nobody can read any more.
                return True
            else:
                return False
        return True
