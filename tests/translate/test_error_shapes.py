from typing import Any

import pytest

from gateway.translate.error_shapes import StatedError, is_blank, is_good_code, read_account

BAD = {"message": "bad", "param": "n", "code": "too_large"}
ACCOUNTS: list[tuple[Any, int | None, str]] = [
    ({"data": None, "error": {"message": "bad", "code": 404}}, 404, "bad"),
    ({"errors": [{"message": "bad", "code": 404}]}, 404, "bad"),
    ({"errors": "bad", "status": 404}, 404, "bad"),
    ({"errors": {"temperature": ["too high", "odd"], "n": "too low"}}, 400, "temperature: too high; odd; n: too low"),
    ({"title": "One or more errors", "status": 422, "errors": {"N": ["too low"]}}, 422, "N: too low"),
    ({"error_code": 404, "error_msg": "bad"}, 404, "bad"),
    ({"errorCode": "404", "errorMessage": "bad"}, 404, "bad"),
    ({"error_code": 336_003, "error_msg": "bad"}, None, "bad"),
    ({"statusCode": 404, "message": ["a", "b"], "error": "Not Found"}, 404, "a; b"),
    ({"error": "Not Found", "status": 404}, 404, "Not Found"),
    ([{"error": {"message": "bad", "code": 404, "status": "NOT_FOUND"}}], 404, "bad"),
    ([{"error": {"message": "boom"}}], None, "boom"),
    ({"type": "about:blank", "title": "Out of range", "status": 404}, 404, "Out of range"),
    ({"type": "https://x.y/z", "title": "Range", "status": 404, "detail": "n is too large"}, 404, "n is too large"),
    ({"output": {"error": "404: bad"}, "status": "FAILED"}, 404, "bad"),
    ({"output": {"error": {"message": "bad", "code": 404}}}, 404, "bad"),
    ({"error": 404, "message": "bad"}, 404, "bad"),
    ({"error": {"message": "", "code": None}, "message": "bad", "status": 404}, 404, "bad"),
    ({"error": {"message": '{"error": {"message": "bad", "code": 404}}'}}, 404, "bad"),
    ({"error": '{\'message\': \'vLLM returned HTTP 404: {"error": {"message": "bad"}}\'}'}, 404, "bad"),
    ("litellm.NotFoundError: X - {'error': {'message': 'bad'}}", 404, "bad"),
    ({"status": 404, "error": "Not Found", "exception": "org.x.YException", "message": "bad"}, 404, "bad"),
    ({"exception": {"message": "bad", "code": 404}}, 404, "bad"),
    ({"base_resp": {"status_code": 1004, "status_msg": "bad"}, "message": ""}, None, "bad"),
    # A superscript is a digit to `str.isdigit`, but no number: it is an unknown word as a code.
    ({"error": {"message": "bad", "code": "²"}}, None, "bad"),
    ("BadRequestError: bad", 400, "BadRequestError: bad"),
    ("ValueError: bad", None, "ValueError: bad"),
]


@pytest.mark.parametrize(("detail", "status", "message"), ACCOUNTS)
def test_status_and_message_are_found_in_any_shape(detail: Any, status: int | None, message: str) -> None:
    account = read_account(detail)
    assert (account.status, account.message) == (status, message)


@pytest.mark.parametrize(
    ("detail", "status"),
    [
        ({"message": "Failed to fetch the image: the server returned 404", "code": 400}, 400),
        ({"message": "RateLimitError: slow down", "status": 503}, 503),
        ({"errors": ["the engine died"], "code": 503}, 503),
        # An engine's answer, told as a whole, is nearer to the cause than its worker's own code.
        ({"message": "vLLM returned HTTP 404: no", "code": 500}, 404),
        ({"message": "Error code: 404 - no", "code": 500}, 404),
        ({"message": "Failed to fetch the image: the server returned 404"}, 404),
    ],
)
def test_a_field_is_surer_than_what_a_text_says_in_passing(detail: Any, status: int) -> None:
    assert read_account(detail).status == status


@pytest.mark.parametrize("detail", [BAD, {"error": BAD}, [{"error": BAD}], {"output": {"error": BAD}}])
def test_param_and_code_are_kept(detail: Any) -> None:
    assert read_account(detail) == StatedError(message="bad", param="n", code="too_large")


@pytest.mark.parametrize(
    "error",
    [
        None,
        False,
        "",
        " ",
        {},
        [],
        {"message": "", "code": None},
        {"message": None, "type": "", "param": None, "code": 0},
        {"code": 200, "message": ""},
        {"code": "success", "message": None, "details": [{}, []]},
        "None",
        " null ",
        {"code": 0, "message": "success"},
        {"status_code": 200, "status_msg": "OK"},
    ],
)
def test_an_error_without_a_filled_leaf_is_none(error: Any) -> None:
    assert is_blank(error)


@pytest.mark.parametrize(
    "error",
    [
        True,
        "x",
        5,
        {"message": "x"},
        {"type": "server_error"},
        {"code": 0, "message": "x"},
        {"code": 500},
        {"status_code": 1004, "status_msg": ""},
        [{"a": "b"}],
    ],
)
def test_an_error_that_says_anything_is_one(error: Any) -> None:
    assert not is_blank(error)


def test_endless_nesting_ends() -> None:
    deep: Any = {}
    for _ in range(100):
        deep = {"error": deep}
    assert not is_blank(deep)
    assert read_account(deep).status is None


@pytest.mark.parametrize(
    ("code", "is_one"), [("²", False), ("\u0660", True), ("0", True), ("404", False), ("9" * 5000, False)]
)
def test_a_code_of_any_characters_is_read(code: str, is_one: bool) -> None:
    assert is_good_code(code) is is_one
    assert is_blank({"message": "", "code": code}) is is_one
