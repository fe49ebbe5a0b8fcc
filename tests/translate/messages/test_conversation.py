"""Messages of Anthropic's API and what a chat template is given."""

from typing import Any

import pytest

from gateway.errors import InvalidRequestError
from tests.factories import plain
from tests.translate.messages.shapes import request

PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAA="}}
PNG_PART = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAA="}}


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said, "cache_control": {"type": "ephemeral"}}


def user(*content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content[0] if content and isinstance(content[0], str) else list(content)}


def assistant(*content: Any) -> dict[str, Any]:
    return {**user(*content), "role": "assistant"}


def use(number: int = 1, **given: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"t{number}", "name": "f", "input": {"a": 1}, **given}


def result(number: int = 1, content: Any = "done", **given: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": f"t{number}", "content": content, **given}


def told(*messages: dict[str, Any], **asked: Any) -> Any:
    return plain(request(messages=list(messages), **asked).fields["messages"])


def called(*numbers: int, content: str | None = None, arguments: str = '{"a":1}') -> dict[str, Any]:
    calls = [
        {"id": f"t{number}", "type": "function", "function": {"name": "f", "arguments": arguments}}
        for number in numbers
    ]
    return {"role": "assistant", "content": content, "tool_calls": calls}


def tool(number: int = 1, content: str = "done") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": f"t{number}", "content": content}


HELLO = {"role": "user", "content": "Hello"}


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        ("Be brief.", "Be brief."),
        ([text("Be brief."), text("Be kind.")], "Be brief.\n\nBe kind."),
        ([text("x-anthropic-billing-header: cc_version=2.1"), text("Be brief.")], "Be brief."),
    ],
)
def test_the_system_prompt_is_one_message_at_the_start(system: Any, expected: str) -> None:
    assert told(HELLO, system=system) == [{"role": "system", "content": expected}, HELLO]


@pytest.mark.parametrize("system", [None, "", [], [text("x-anthropic-billing-header: a")]])
def test_no_system_prompt_is_no_message(system: Any) -> None:
    assert told(HELLO, system=system) == [HELLO]


def test_a_system_message_in_mid_conversation_joins_the_first_one() -> None:
    later = {"role": "system", "content": [text("Be kind.")]}
    assert told(user("a"), later, user("b"), system="Be brief.") == [
        {"role": "system", "content": "Be brief.\n\nBe kind."},
        # One turn of the user, which it interrupted.
        {"role": "user", "content": "a\n\nb"},
    ]


def test_roles_of_context_are_those_of_the_user() -> None:
    assert told({"role": "ctx", "content": "a"}, {"role": "msg", "content": "b"})[0]["content"] == "a\n\nb"


def test_texts_are_one_text_and_images_make_parts() -> None:
    assert told(user(text("a"), text("b"))) == [{"role": "user", "content": "a\n\nb"}]
    assert told(user(text("a"), PNG)) == [{"role": "user", "content": [{"type": "text", "text": "a"}, PNG_PART]}]
    url = {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}
    assert told(user(url))[0]["content"][0]["image_url"] == {"url": "https://x/y.png"}
    assert told(user()) == [{"role": "user", "content": ""}]


def test_a_media_type_cannot_leave_its_string() -> None:
    odd = {"type": "base64", "media_type": 'a","b":"\\', "data": "A"}
    url = told(user({"type": "image", "source": odd}))[0]["content"][0]["image_url"]["url"]
    assert url == 'data:a","b":"\\;base64,A'


def test_results_follow_the_calls_at_once_and_precede_what_the_user_says() -> None:
    history = [assistant(text("Let me see."), use(1), use(2)), user(text("Thanks."), result(1), result(2, "two"))]
    assert told(HELLO, *history) == [
        HELLO,
        called(1, 2, content="Let me see."),
        tool(1),
        tool(2, "two"),
        {"role": "user", "content": "Thanks."},
    ]


def test_results_of_two_messages_in_a_row_precede_what_either_says() -> None:
    assert told(HELLO, assistant(use(1), use(2)), user(result(1), text("a")), user(result(2)))[2:] == [
        tool(1),
        tool(2),
        {"role": "user", "content": "a"},
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("done", "done"),
        (None, ""),
        ([], ""),
        ([text("a"), text("b")], "a\n\nb"),
        ([{"type": "tool_reference", "tool_name": "x"}], ""),
        ([{"type": "search_result", "source": "s", "title": "t", "content": [text("c")]}], "t\ns\nc"),
    ],
)
def test_the_text_of_a_result(content: Any, expected: str) -> None:
    assert told(user(result(1, content))) == [tool(1, expected)]


def test_a_failed_tool_says_so() -> None:
    assert told(user(result(1, "no such file", is_error=True))) == [tool(1, "Error: no such file")]
    assert told(user(result(1, is_error=False))) == [tool(1)]


def test_images_in_a_result_come_in_a_message_after_it() -> None:
    assert told(user(result(1, [text("a"), PNG]), text("b"))) == [
        tool(1, "a"),
        {"role": "user", "content": [PNG_PART, {"type": "text", "text": "b"}]},
    ]


@pytest.mark.parametrize(("given", "expected"), [({"a": "ü"}, '{"a":"ü"}'), ({}, "{}"), (None, "{}"), ([], "{}")])
def test_the_input_of_a_call_is_its_arguments(given: Any, expected: str) -> None:
    assert told(assistant(use(1, input=given))) == [called(1, arguments=expected)]


def test_thinking_is_reasoning_and_never_text() -> None:
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "s"}
    hidden = {"type": "redacted_thinking", "data": "xyz"}
    assert told(HELLO, assistant(thought, hidden, text("Yes."))) == [
        HELLO,
        {"role": "assistant", "content": "Yes.", "reasoning": "Hm."},
    ]
    assert told(assistant(hidden)) == [{"role": "assistant", "content": ""}]


def test_texts_of_the_assistant_are_joined_as_they_were_streamed() -> None:
    assert told(assistant("a"), assistant(text("b"), use(1))) == [called(1, content="ab")]


def test_documents_of_text_are_text() -> None:
    plain_text = {"type": "text", "media_type": "text/plain", "data": "body"}
    document = {"type": "document", "title": "T", "context": "C", "source": plain_text}
    assert told(user(document)) == [{"role": "user", "content": "T\nC\n\nbody"}]
    parts = {"type": "document", "source": {"type": "content", "content": [text("a"), PNG]}}
    assert told(user(parts))[0]["content"] == [{"type": "text", "text": "a"}, PNG_PART]


@pytest.mark.parametrize("kind", ["server_tool_use", "web_search_tool_result", "mcp_tool_use", "mcp_tool_result"])
def test_what_hosted_tools_left_is_not_told(kind: str) -> None:
    left = {"type": kind, "id": "x", "name": "web_search", "content": {"type": "error"}, "input": {}}
    assert told(HELLO, assistant(left, text("a"))) == [HELLO, {"role": "assistant", "content": "a"}]


PDF = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "A"}}
REFUSED = [
    ([{"role": "tool", "content": "a"}], "role"),
    ([{"role": "system", "content": [PNG]}], "system"),
    ([user(PDF)], "PDF"),
    ([user({"type": "document", "source": {"type": "text", "data": 5}})], "data"),
    ([user({"type": "document", "source": 5})], "source"),
    ([user({"type": "image", "source": {"type": "file", "file_id": "f"}})], "base64"),
    ([user({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": 5}})], "base64"),
    ([user({"type": "hologram"})], "hologram"),
    ([user(use())], "tool_use"),
    ([user(result(content=[{"text": "a"}]))], "type"),
    ([user({"type": "tool_result", "content": "a"})], "tool_use_id"),
    ([assistant(use(id=""))], "id"),
    ([assistant(use(name=None))], "name"),
    ([assistant(PNG)], "image"),
]


@pytest.mark.parametrize(("messages", "word"), REFUSED)
def test_what_no_worker_can_be_told_is_refused(messages: list[Any], word: str) -> None:
    with pytest.raises(InvalidRequestError, match=word) as caught:
        request(messages=messages)
    assert caught.value.param == "messages"
