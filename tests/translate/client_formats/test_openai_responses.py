import msgspec

from gateway.domain import Usage
from gateway.errors import InvalidKeyError
from gateway.translate.client_formats.openai_responses import OPENAI_RESPONSES, RESPONSE_STREAM
from gateway.translate.error_body import error_answer
from tests.factories import fields_of

BODY = b'{"model": "m", "input": "Hi"}'


def test_the_id_has_openai_s_form() -> None:
    assert OPENAI_RESPONSES.answer_id("ab12") == "resp_ab12"


def test_a_whole_answer_is_the_object() -> None:
    whole = fields_of({"choices": [{"index": 0, "message": {"content": "Hello"}, "finish_reason": "stop"}]})
    request, usage = OPENAI_RESPONSES.read(BODY), Usage(prompt_tokens=1, completion_tokens=2)
    made = msgspec.json.decode(OPENAI_RESPONSES.finish(whole, request, answer_id="resp_1", created_s=3, usage=usage))
    assert (made["id"], made["created_at"], made["status"]) == ("resp_1", 3, "completed")
    assert made["output"][0]["content"][0]["text"] == "Hello"


def test_an_error_of_a_stream_without_a_writer_is_a_failed_response() -> None:
    event = RESPONSE_STREAM.error(error_answer(InvalidKeyError(is_missing=True)))
    assert event.startswith(b"event: response.failed\ndata: ")
    assert msgspec.json.decode(event.partition(b"data: ")[2])["response"]["error"]["code"] == "server_error"
