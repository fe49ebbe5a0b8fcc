"""The ways from a client to a worker: a route of the gateway, and a kind of worker behind it."""

import contextlib
from collections.abc import Iterator
from typing import Any

import msgspec

from gateway.emulator.settings import Dialect, EmulatorSettings
from tests.stacks import RUNPOD_KEY, Stack, stack

WORKERS = {Dialect.TOKENS: "tokens", Dialect.LEGACY: "legacy", Dialect.TEXT: "text"}
"""What the configuration calls the workers that do not speak OpenAI."""

MODELS = [
    {"id": "m", "endpoint": "chat", "upstream": "org/real-model"},
    {"id": "org/with-slash", "endpoint": "chat"},
    {"id": "m-too", "endpoint": "chat", "upstream": "org/real-model"},
]


class Way(msgspec.Struct, frozen=True):
    """One route to one kind of worker."""

    route: str
    dialect: str

    def __str__(self) -> str:
        """As it shows in the name of a test."""
        return f"{self.route}-{self.dialect}"

    @property
    def speaks_openai(self) -> bool:
        """Whether the worker knows tools, response formats and embeddings."""
        return Dialect(self.dialect) not in WORKERS

    @contextlib.contextmanager
    def stack(self, **sections: Any) -> Iterator[Stack]:
        """A stack with this way and no other; `settings` are the emulator's, the rest sections of the configuration."""
        settings = {"api_key": RUNPOD_KEY, "dialect": Dialect(self.dialect), **sections.pop("settings", {})}
        endpoint = {
            "route": self.route,
            "worker": WORKERS.get(Dialect(self.dialect), "openai"),
            **sections.pop("endpoint", {}),
        }
        with stack(EmulatorSettings(**settings), endpoint=endpoint, **{"models": MODELS, **sections}) as made:
            yield made


JOB_VLLM = Way("job", "vllm")
OPENAI_VLLM = Way("openai", "vllm")
OPENAI_WAYS = [
    JOB_VLLM,
    Way("job", "vllm-batched"),
    Way("job", "vllm-dicts"),
    Way("job", "sglang"),
    OPENAI_VLLM,
    Way("openai", "vllm-batched"),
    Way("openai", "sglang"),
]
TEXT_WAYS = [Way("job", "tokens"), Way("job", "legacy"), Way("job", "text")]
ALL_WAYS = OPENAI_WAYS + TEXT_WAYS
