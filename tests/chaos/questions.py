"""What the clients of a chaos round ask, what a whole answer to it says, and the words that must not get out."""

import random
from typing import Any

import msgspec

from tests.secrets_scan import Secrets

RUNPOD_KEY = "rpa_Zk4wV9qTe7LxN2mYb8HsD5fUgC3JrPaQ6Xo1"
TENANT_KEYS = {
    "acme": "fp-q8Wn3Zr5Vt1Kc7Lx9Dm2Hb6Jg4Sf0Py",
    "globex": "fp-T6yB2uN8iM4kO0lP5zX1cV7aQ3sD9wE",
}
PROMPT_WORD = "Quillonfjord"
COMPLETION_WORD = "Zephyrquartz"
SECRETS = Secrets(
    keys=(RUNPOD_KEY, *TENANT_KEYS.values()), prompts=(PROMPT_WORD,), completions=(COMPLETION_WORD, "17 18 19 20 21")
)

ENDLESS = "#interval=5"
"""Makes the scripted worker take minutes."""
MODELS = ("m-job", "m-openai", "m-auto")
FAIL_KINDS = (
    "generator",
    "handler",
    "yielded",
    "platform",
    "vllm_http",
    "vllm_died",
    "error_event",
    "flat_error",
    "no_output",
)
_SAID = f"{COMPLETION_WORD} “naïve” 你好 🙂 \\ / <b> data: [DONE] " + "été 🚲 " * 6 + "the end"


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One request, and the text of its whole answer."""

    model: str
    tenant: str
    stream: bool
    text: str
    expected: str
    leaves_after_bytes: int | None = None
    """A client that goes away after so much of its answer."""
    uses_sdk: bool = False

    def body(self) -> dict[str, Any]:
        """What is sent."""
        messages = [{"role": "system", "content": PROMPT_WORD}, {"role": "user", "content": self.text}]
        return {"model": self.model, "stream": self.stream, "messages": messages}


class Habits(msgspec.Struct, frozen=True, kw_only=True):
    """What the clients of a round do. Parts are of 1."""

    steering: tuple[str, ...] = ("",)
    """Words for the scripted worker, of which each request gets one."""
    counts_to: tuple[int, int] = (15, 40)
    said_part: float = 0.4
    """How many ask for text beyond ASCII."""
    leaving_part: float = 0.05
    sdk_part: float = 0.15
    models: tuple[str, ...] = MODELS


def questions(count: int, habits: Habits, seed: str) -> list[Question]:
    """So many requests: a mix of streams and whole answers, routes, tenants and texts."""
    chance = random.Random(seed)
    return [_question(habits, chance, number) for number in range(count)]


def _question(habits: Habits, chance: random.Random, number: int) -> Question:
    if chance.random() < habits.said_part:
        text, expected = f'{PROMPT_WORD}, say "{_SAID} {number}"', f"{_SAID} {number}"
    else:
        top = chance.randint(*habits.counts_to)
        text, expected = f"{PROMPT_WORD}, count to {top}", " ".join(map(str, range(1, top + 1)))
    leaves = chance.random() < habits.leaving_part
    model = chance.choice(habits.models)
    steering = chance.choice(habits.steering)
    return Question(
        model=model,
        tenant=chance.choice(list(TENANT_KEYS)),
        stream=chance.random() < 0.7,
        # Where the gateway can end a job that was left, only that ends it in time.
        text=f"{text} {ENDLESS if leaves and model == 'm-job' else steering}".strip(),
        expected=expected,
        leaves_after_bytes=int(10 ** chance.uniform(0, 4)) if leaves else None,
        uses_sdk=not leaves and chance.random() < habits.sdk_part,
    )
