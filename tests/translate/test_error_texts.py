import pytest

from gateway.translate.error_texts import Statement, is_phrase, parsed, read_statement

BODY = {"error": {"message": "bad"}}
STATED: dict[str, tuple[int, str]] = {
    "vLLM returned HTTP 400: not json": (400, "not json"),
    "Error code: 409 - not json": (409, "not json"),
    "openai.BadRequestError: Error code: 400 - no": (400, "no"),
    "HTTP 413: too large": (413, "too large"),
    "HTTP/1.1 400 Bad Request": (400, "Bad Request"),
    "400: bad words": (400, "bad words"),
    "handler: 422: bad words": (422, "bad words"),
    "HTTPException: 404: no such voice": (404, "no such voice"),
    "500, boom": (500, "boom"),
    "400, message='Bad Request', url='http://10.0.0.1/v1'": (400, "Bad Request"),
    "ClientResponseError: 503, message=\"it's full\", url=URL('http://x')": (503, "it's full"),
    "400, message='cut off": (400, "message='cut off"),
    "HTTPException(status_code=400, detail='bad role')": (400, "bad role"),
    "BadRequestError('Error code: 400 - oops')": (400, "oops"),
    'openai.NotFoundError("Error code: 404 - it\'s gone")': (404, "it's gone"),
    "ClientError('429: slow down', 'x')": (429, "slow down"),
    "404 Not Found: no model x": (404, "no model x"),
    "400 INVALID_ARGUMENT. n is too large": (400, "n is too large"),
    "400 Bad Request": (400, "400 Bad Request"),
    "Client error '404 Not Found' for url 'http://x'": (404, "Client error '404 Not Found' for url 'http://x'"),
}
ASIDE = {
    "Request failed with status code 400": 400,
    "AxiosError: Request failed with status code 404": 404,
    "The engine returned 422 Unprocessable Entity": 422,
    "the server returned an error 500": 500,
    "upstream status: 503, gave up": 503,
    "ClientResponseError(RequestInfo(), status=400, x)": 400,
    "it returned 400 errors": 400,
}
NO_STATUS = [
    "it took 400 steps",
    "404",
    "layer 400 failed: boom",
    "line 12: 400: x",
    "the HTTP 400 page",
    "HTTP 999 x",
    "Error code: 302 - moved",
    "status code 200",
    "the model returned 500 tokens",
    "it returned 404.5 of them",
    "it returned 4040",
    "HTTP ٤٠٤: x",
    "x" * 250 + " status code 400",
    "",
]
QUOTED = [
    "litellm.BadRequestError: OpenAIException - Error code: 400 - {'error': {'message': 'bad'}}",
    "litellm.BadRequestError: X - Error code: 400 - {'error': {'message': 'bad'}}. Received Model Group=x\nNone",
    'litellm.BadRequestError: X - Error code: 400 - {"error": {"message": "bad"}} {"tries": 2}',
    'litellm.BadRequestError: OpenAIException - {"error": {"message": "bad"}}',
    "BadRequestError(\"Error code: 400 - {'error': {'message': 'bad'}}\")",
    'vLLM returned HTTP 400: {"error": {"message": "bad"}}',
    'Request failed with status code 400: {"error": {"message": "bad"}}',
    "400 INVALID_ARGUMENT. {'error': {'message': 'bad'}}",
    '400: {"error": {"message": "bad"}}',
    '{"error": {"message": "bad"}}',
    "{'error': {'message': 'bad'}}",
]


@pytest.mark.parametrize("text", STATED)
def test_a_text_may_begin_with_its_status(text: str) -> None:
    said = read_statement(text)
    assert (said.status, said.words, said.is_aside) == (*STATED[text], False)


@pytest.mark.parametrize("text", ASIDE)
def test_a_status_may_be_said_in_passing(text: str) -> None:
    said = read_statement(text)
    assert (said.status, said.words, said.is_aside) == (ASIDE[text], text, True)


@pytest.mark.parametrize("text", NO_STATUS)
def test_other_numbers_are_no_status(text: str) -> None:
    assert read_statement(text).status is None


@pytest.mark.parametrize("text", QUOTED)
def test_the_object_that_a_text_quotes_is_read(text: str) -> None:
    assert read_statement(text).inner == BODY


def test_an_exception_s_name_is_told() -> None:
    assert read_statement("litellm.RateLimitError: slow down").type == "RateLimitError"
    assert read_statement("an RateLimitError: slow down") == Statement(words="an RateLimitError: slow down")


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "X('" * 20_000, "Error code: 400 - {" + "{" * 60_000, "400: '" * 10_000]
)
def test_nonsense_is_words(text: str) -> None:
    said = read_statement(text)
    assert said.inner is None
    assert said.words


def test_values_and_phrases() -> None:
    assert parsed('[{"a": 1}]') == [{"a": 1}]
    assert parsed("{}") is parsed("a") is parsed("{a}") is None
    assert is_phrase("Bad Request")
    assert not is_phrase("Bad")
    assert not is_phrase(None)
