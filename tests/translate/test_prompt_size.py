from typing import Any

import pytest

from gateway.apis import CHAT_COMPLETIONS, COMPLETIONS, EMBEDDINGS
from gateway.translate.prompt_size import MEDIA_TOKENS, prompt_tokens_estimate
from tests.factories import fields_of


def tokens(**fields: Any) -> int:
    api = COMPLETIONS if "prompt" in fields else EMBEDDINGS if "input" in fields else CHAT_COMPLETIONS
    return prompt_tokens_estimate(api, fields_of(fields))


def message(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


TEXT = {"type": "text", "text": "x" * 400}


def test_text_is_counted_by_its_size() -> None:
    assert tokens(prompt="x" * 398) == 100
    assert tokens(input=["x" * 194, "x" * 196]) == 100
    assert 100 <= tokens(messages=[{"role": "user", "content": "x" * 400}]) <= 120
    assert tokens(temperature=1) == 0


def test_only_the_fields_of_the_api_are_counted() -> None:
    fields = fields_of({"messages": "x" * 400, "input": "x" * 4000, "prompt": "x" * 40_000})
    assert [prompt_tokens_estimate(api, fields) // 100 for api in (CHAT_COMPLETIONS, COMPLETIONS)] == [1, 100]


def test_declared_tools_are_a_part_of_the_prompt() -> None:
    tools = [{"type": "function", "function": {"name": "f", "description": "x" * 400}}]
    assert tokens(messages=[], tools=tools) >= 100
    assert tokens(messages=[], functions=tools) >= 100


@pytest.mark.parametrize("kind", MEDIA_TOKENS)
@pytest.mark.parametrize("size", [100, 300_000])
def test_media_are_counted_by_their_kind(kind: str, size: int) -> None:
    media = {"type": kind, kind: {"url": "data:image/png;base64," + "A" * size}}
    counted = tokens(messages=[message(TEXT, media, media), {"role": "user", "content": "Hello"}])
    assert 2 * MEDIA_TOKENS[kind] + 100 <= counted <= 2 * MEDIA_TOKENS[kind] + 160


def test_words_about_media_are_text() -> None:
    assert 5000 <= tokens(messages=[{"role": "user", "content": '"type": "image_url" ' * 1000}]) <= 6100


@pytest.mark.parametrize("messages", [[message({"type": "image_url"}, 5)], [{"content": ["x", {"type": "image"}]}]])
def test_odd_messages_are_counted_as_far_as_they_can_be_read(messages: list[Any]) -> None:
    assert 0 < tokens(messages=messages) < 2100
