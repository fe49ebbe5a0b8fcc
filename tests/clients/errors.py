"""What every error carries."""

import openai
import pytest

both_kinds = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


def check_error(error: openai.APIStatusError, *, status: int, code: str | None, param: str | None = None) -> None:
    """What every error carries, in the types that the description gives."""
    assert type(error.body) is dict
    assert error.body.keys() == {"message", "type", "param", "code"}
    assert (error.status_code, error.code, error.param) == (status, code, param)
    assert isinstance(error.type, str)
    assert error.request_id
    assert error.message
    assert error.response.headers["content-type"] == "application/json"
