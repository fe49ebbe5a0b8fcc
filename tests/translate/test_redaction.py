import pytest

from gateway.translate.redaction import (
    _GOES_ON,
    _HEADING,
    _HINT,
    _LOG_LINE,
    _LOG_PREFIX,
    _TAIL,
    REDACTED,
    SHOWN_LENGTH_MAX,
    SOURCE_LENGTH_MAX,
    redact,
)
from tests.patterns import reach_of

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
    "/v1/chat/completions not supported, POST /v1/responses/x neither",
    "version 1.2.3.4 is needed, version: 1.2.3.5 is there",
    "The log of 0 is not defined: log(0)",
    "The date 2026-11-30 10:00:00 is over",
    "the logits are nan\nError: sampling failed",
    "last 3 messages must alternate",
    "catalogs: unknown",
    # A hint to logs that are elsewhere.
    "Please see server logs for details: image_url must be https",
    "Check worker logs: the model 'x' is not loaded",
    "Error 500. Check the engine logs for more information: request abc",
    # A field, or a stream, with the error behind it.
    "logs: true is not a valid parameter",
    "stderr: Field required",
    "Server log: model not loaded",
    "Engine output: expected object",
    "the last 3 messages: must alternate",
    # A level without a time or a place.
    "Failed:\nERROR: messages must not be empty",
    "Failed:\nERROR 400: bad request",
    "Failed:\nError: ['a'] is too short",
    "Failed:\nERROR: llama3.1:8b not found",
    "Failed:\nWARNING: n is ignored",
]


@pytest.mark.parametrize("text", READABLE)
def test_what_helps_stays(text: str) -> None:
    assert redact(text) == text


def test_a_public_url_keeps_its_host() -> None:
    assert redact("see https://huggingface.co/docs/x?token=y now") == "see https://huggingface.co/… now"
    assert redact("password=x") == f"password={REDACTED}"


@pytest.mark.parametrize("unit", ["a", "a-", "/a", "password", "http://", "1.", "eyJ", "=", "key=", " ", "bearer "])
def test_texts_are_bounded_and_cheap(unit: str) -> None:
    assert len(redact(unit * 2_000_000)) <= SHOWN_LENGTH_MAX + 1


TAILS = {
    "boom\ntraceback: Traceback (most recent call last):\n  x": "boom",
    "boom\nlogs:\nprompt of a tenant": "boom",
    r"boom\nlogs:\nprompt of a tenant": "boom",
    "boom. Worker logs: prompt of a tenant": "boom.",
    "boom. Last logs of the engine (20 lines): prompt": "boom.",
    "boom. Worker logs (last 20 lines): prompt": "boom.",
    "exit code 1, stderr: prompt of a tenant": "exit code 1,",
    "exit code 1, stdout=prompt of a tenant": "exit code 1,",
    "{'code': 1, 'stderr': 'prompt'}": "{'code': 1, '",
    "boom\n--- logs ---\nprompt": "boom",
    "boom\n--- worker logs ---\nprompt": "boom",
    "boom\nLogs:\nprompt": "boom",
    "boom. Logs: INFO prompt": "boom",
    "boom\nlog: prompt": "boom",
    "boom; log tail: prompt": "boom",
    "boom; last 20 lines of log:\nprompt": "boom;",
    "boom. Tail of the engine log\nprompt": "boom.",
    "boom. Engine output: prompt": "boom.",
    "boom. See the engine logs:\nprompt": "boom. See the",
    r"boom. See the engine logs:\nprompt": "boom. See the",
    "boom. Worker logs say: prompt": "boom.",
    "boom; last 20 messages:\nprompt": "boom;",
    "boom; last 20 log messages: prompt": "boom;",
    "boom; last 20 messages of the worker log: prompt": "boom;",
    "stderr: boom\nprompt": "stderr: boom",
    r"stderr: boom\nprompt": "stderr: boom",
    "stderr: boom. Worker logs: prompt": "stderr: boom.",
    "Server log: INFO 11-30 10:00:00 engine.py:12] prompt": "Server log:",
    "Worker logs:\nprompt": "",
    "--- logs ---\nprompt": "",
    # Lines of logs themselves.
    "boom\nERROR:    Exception in ASGI application, prompt": "boom",
    "boom\nERROR:vllm.engine:prompt": "boom",
    "boom\nERROR engine.py:12 prompt": "boom",
    "boom\nERROR: [engine 3] prompt": "boom",
    "boom\nWARNING: 2026-11-30 prompt": "boom",
    "boom\nINFO: prompt": "boom",
    "boom\nINFO 11-30 10:00:00 engine.py:12] prompt": "boom",
    "boom INFO 11-30 10:00:00 [engine.py:12] prompt": "boom",
    "boom\n(APIServer pid=1) ERROR 11-30 10:00:00 [serving.py:3] prompt": "boom",
    r"boom\n(EngineCore_0 pid=12) INFO 11-30 10:00:00.123 [core.py:3] prompt": r"boom\n",
    "boom\n2026-11-30 10:00:00 | INFO | prompt": "boom",
    "boom 2026-11-30 10:00:00,123 - vllm.engine - WARNING - prompt": "boom",
    "boom\n2026-11-30T10:00:00Z prompt": "boom",
    "boom\n[2026-11-30 10:00:00 TP0] prompt": "boom",
    "boom\n[2026-11-30 10:00:00] INFO: prompt": "boom",
    "boom\nI1130 10:00:00.123456  1234 server.cc:12] prompt": "boom",
    "boom\nINFO:     127.0.0.1:80 - prompt": "boom",
    'boom\n{"level":"info","msg":"prompt"}': "boom",
    # Of a text that is nothing else, the first message stays.
    "INFO 11-30 10:00:00 engine.py:12] boom\nINFO 11-30 10:00:01 engine.py:12] prompt": "boom",
    "(APIServer pid=1) ERROR 11-30 10:00:00 [serving.py:3] boom token=hunter\nprompt": f"boom token={REDACTED}",
    "2026-11-30 10:00:00 | INFO     | app.main:run:12 - boom\nprompt": "boom",
    "[2026-11-30 10:00:00] boom\nprompt": "boom",
    "2026-11-30 10:00:00,123 - app - ERROR - boom": "boom",
}


@pytest.mark.parametrize("text", TAILS)
def test_a_worker_s_logs_are_cut_off(text: str) -> None:
    assert redact(text) == TAILS[text]


def test_all_rules_are_applied_together() -> None:
    text = (
        "GET https://u:p@ss@x.example.com/y failed: token=hunter2 at 10.1.2.3:8000, see /app/src/a.py. stderr: prompt"
    )
    assert redact(text) == f"GET https://x.example.com/… failed: token={REDACTED} at …, see …"


@pytest.mark.parametrize(
    "unit", ["a", "key=", "password='", "-----BEGIN A-----\n", "http://", "a:@", "::1 ", "/a", "x. "]
)
def test_of_a_long_text_only_the_beginning_is_read(unit: str) -> None:
    """Counted by what is seen: 100 kB cost as much as their first 4 KiB."""
    text = (unit * 100_000)[:100_000]
    assert redact(text) == redact(text[:SOURCE_LENGTH_MAX])
    assert len(redact(text)) <= SHOWN_LENGTH_MAX + 1


def test_a_credential_that_the_cut_halves_is_not_shown() -> None:
    long = "-----BEGIN X-----" + "a" * (SOURCE_LENGTH_MAX - 50) + "-----END X----- sk-abcdefghijkl"
    assert "sk-" not in redact(long)


def test_no_expression_looks_further_than_a_bound() -> None:
    assert reach_of(_TAIL.pattern) < 150
    for each in (_HINT, _HEADING, _GOES_ON):
        assert reach_of(each.pattern) < 150
    assert reach_of(_LOG_PREFIX.pattern) < 300
    assert reach_of(_LOG_LINE.pattern) < 300
