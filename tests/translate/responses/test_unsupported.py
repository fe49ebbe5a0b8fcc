import pytest

from gateway.errors import InvalidRequestError
from gateway.translate.responses.unsupported import refuse_stateful, unsupported
from tests.factories import fields_of


@pytest.mark.parametrize("name", ["previous_response_id", "conversation", "prompt", "context_management"])
def test_a_message_says_what_to_send_instead(name: str) -> None:
    with pytest.raises(InvalidRequestError, match="'input'"):
        refuse_stateful(fields_of({name: "x"}))


def test_a_value_that_is_not_supported_has_openai_s_code() -> None:
    error = unsupported("why", "n")
    assert (error.reason, error.param, error.code) == ("why", "n", "unsupported_value")
