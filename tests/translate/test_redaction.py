import pytest

from gateway.translate.redaction import REDACTED, SHOWN_LENGTH_MAX, redact

SECRETS = {
    "Bearer rpa_WORKERKEY was refused": "rpa_WORKERKEY",
    "Authorization: Bearer abc.def-123 was refused": "abc.def-123",
    "Authorization: Basic dXNlcjpwYXNz": "dXNlcjpwYXNz",
    "login failed for password=hunter2": "hunter2",
    "{'password': 'hunter2'}": "hunter2",
    '{"api_key": "hunter2"}': "hunter2",
    "HF_TOKEN=hunter2 is not valid": "hunter2",
    "token: hunter2": "hunter2",
    "AWS_SECRET_ACCESS_KEY = hunter2": "hunter2",
    "X-Amz-Signature=hunter2&x=1": "hunter2",
    "Invalid token hf_abcdefgh1234": "hf_abcdefgh1234",
    "key sk-proj-abc12345 is expired": "sk-proj-abc12345",
    "AKIAABCDEFGH1234 is unknown": "AKIAABCDEFGH1234",
    "got eyJhbGciOiJI.eyJzdWIiOiIx.abc": "eyJzdWIiOiIx",
    "clone of https://user:hunter2@git.example.com/x failed": "hunter2",
    "GET https://bucket.example.com/model?sig=hunter2 failed": "hunter2",
    "connect to http://10.1.2.3:8000/v1 failed": "10.1.2.3",
    "connect to http://engine:8000/v1 failed": "engine:8000",
    "connect to http://vllm.default.svc.cluster.local:8000 failed": "default",
    "Cannot connect to host 10.1.2.3:8000": "10.1.2.3",
    "no such file /workspace/models/a.py": "workspace",
    r"no such file C:\models\a.py": "models",
    "boom\ntraceback: Traceback (most recent call last):\n  secret": "secret",
    "boom\nlogs:\nprompt of a tenant": "tenant",
}


@pytest.mark.parametrize("text", SECRETS)
def test_secrets_and_places_are_taken_out(text: str) -> None:
    assert SECRETS[text] in text
    assert SECRETS[text] not in redact(text)
    assert redact(text)


READABLE = [
    "max_tokens=100000 is too large: 4096 is the maximum.",
    "The model `org/some-model` does not exist.",
    "stop_token_ids=[1, 2] must be a list of integers",
    "You passed 8193 input tokens and requested 0 output tokens.",
    "temperature: Input should be less than or equal to 2",
    "The tokenizer has no chat template. See https://huggingface.co",
    "version 1.12.0 of the SDK",
    "value must be between 0/1 and 1/1",
    "Bearer authentication is required",
]


@pytest.mark.parametrize("text", READABLE)
def test_what_helps_stays(text: str) -> None:
    assert redact(text) == text


def test_a_public_url_keeps_its_host() -> None:
    assert redact("see https://huggingface.co/docs/x?token=y now") == "see https://huggingface.co/… now"
    assert redact("password=x") == f"password={REDACTED}"


@pytest.mark.timeout(10)
@pytest.mark.parametrize("unit", ["a", "a-", "/a", "password", "http://", "1.", "eyJ", "=", "key=", " ", "bearer "])
def test_texts_are_bounded_and_cheap(unit: str) -> None:
    assert len(redact(unit * 2_000_000)) <= SHOWN_LENGTH_MAX + 1
