import msgspec

from gateway.errors import InvalidRequestError
from gateway.translate.client_formats.openai_errors import error_body, error_event
from gateway.translate.error_body import error_answer

ANSWER = error_answer(InvalidRequestError("'n' is wrong.", param="n", code="invalid_value"))


def test_all_four_fields_are_sent() -> None:
    assert msgspec.json.decode(error_body(ANSWER)) == {
        "error": {"message": "'n' is wrong.", "type": "invalid_request_error", "param": "n", "code": "invalid_value"}
    }


def test_an_event_holds_the_body() -> None:
    assert error_event(ANSWER) == b"data: " + error_body(ANSWER) + b"\n\n"
