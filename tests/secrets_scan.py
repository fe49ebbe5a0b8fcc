"""Looks for what must never get out: keys, prompts, completions, and what workers say of their insides."""

import re
from collections.abc import Iterable

import msgspec

PIECE_LENGTH = 12
"""So much of a key is as bad as all of it."""
SHOWN_LENGTH = 60

WORKER_INSIDES = ("/src/handler.py", "Traceback (most recent call last)", "RuntimeError: boom")
"""File paths and tracebacks in the errors of the emulator's workers."""
_FORMS = (re.compile(r"bearer +[\w.~+/-]{4}", re.IGNORECASE), re.compile(r"\brpa_\w{3}"))
"""How keys look that nobody listed."""


class LeakError(AssertionError):
    """Something got out."""


class Leak(msgspec.Struct, frozen=True):
    """What was found, and the text around it."""

    what: str
    where: str

    def __str__(self) -> str:
        return f"{self.what}: …{self.where!r}…"


class Secrets(msgspec.Struct, frozen=True, kw_only=True):
    """What to look for. Keys are also found in pieces."""

    keys: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    completions: tuple[str, ...] = ()
    insides: tuple[str, ...] = WORKER_INSIDES

    def outside_answers(self, text: str) -> list[Leak]:
        """In logs, metrics, headers and errors: nothing of it may be there."""
        return [*self.in_answers(text), *_found("completion", self.completions, text)]

    def in_answers(self, text: str) -> list[Leak]:
        """In the body of an answer that went well: there completions belong, and nothing else."""
        return [
            *(leak for key in self.keys for leak in _found("key", pieces(key), text)[:1]),
            *(Leak("key", _around(text, found.start())) for form in _FORMS if (found := form.search(text))),
            *_found("prompt", self.prompts, text),
            *_found("inside of a worker", self.insides, text),
        ]

    def check(self, name: str, text: str, *, is_answer: bool = False) -> None:
        """Raise LeakError if the text holds what it must not."""
        leaks = self.in_answers(text) if is_answer else self.outside_answers(text)
        if leaks:
            raise LeakError(f"{name} holds {'; '.join(map(str, leaks))}")


def pieces(key: str) -> list[str]:
    """Every piece of a key that is long enough to matter; a shorter key is one piece."""
    return [key[start : start + PIECE_LENGTH] for start in range(max(1, len(key) - PIECE_LENGTH + 1))]


def _found(what: str, words: Iterable[str], text: str) -> list[Leak]:
    return [Leak(what, _around(text, text.index(word))) for word in words if word in text]


def _around(text: str, position: int) -> str:
    return text[max(0, position - SHOWN_LENGTH // 2) : position + SHOWN_LENGTH // 2]
