import re

import pytest

from gateway.translate.context_overflow import is_context_overflow

OVERFLOWS = [
    "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens.",
    "You passed 8193 input tokens. However, the model's context length is only 8192 tokens.",
    "The input (12345 tokens) is longer than the model's context length (8192 tokens).",
    "Requested token count exceeds the model's maximum context length of 8192 tokens.",
    "the request exceeds the available context size. try increasing the context size or enable context shift",
    "request (9000 tokens) exceeds the available context size (8192 tokens), try increasing it",
    "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 4000 `inputs` tokens and 1000 `max_new_tokens`",
    "`inputs` must have less than 1024 tokens. Given: 2000",
    "Input prompt (5000 tokens) is too long and exceeds limit of 4096",
    "The decoder prompt (length 5000) is longer than the maximum model length of 4096.",
    "input length exceeds maximum context length",
    "prompt is too long: 210000 tokens > 200000 maximum",
    "Your input exceeds the context window of this model.",
    "context_length_exceeded",
    "Input length (5000 tokens) exceeds the maximum allowed length (4096 tokens). Use a shorter input.",
    "The sum of prompt length (5000.0), query length (0) should not exceed max_num_tokens (4096)",
    "Prompt length (5000) should be less than max_seq_len (4096)",
    "The input_length 5000 exceeds session_len 4096",
    "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    "This model's maximum prompt length is 131072 but the request contains 200000 tokens.",
    "prompt token count of 200000 exceeds the limit of 128000",
    "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 5000.",
    "Range of input length should be [1, 30720]",
    "Your request exceeded model token limit: 262144",
    "token limit exceeded: 5000 > 4096",
    "Input text is too long: 9000 tokens (limit 8192)",
    "Sequence length 9000 > max_seq_len 8192",
    "Context size has been exceeded.",
    "The number of tokens in the prompt (9000) is over the limit of 8192",
    "Prompt too long: 5000 tokens, max 4096",
    "Input too large: 5000 tokens, max 4096",
    "The prompt is longer than the maximum number of tokens supported by the engine: 5000 > 4096",
    "The maximum is 4096; the prompt length is 5000",
    # vLLM, where it speaks of more than the prompt.
    "The prompt (total length 9000) is too long to fit into the model (context length 8192). For image inputs more.",
    "The text and the image together exceed the maximum context length of 8192 tokens.",
    "input (600 tokens) is too large to process. increase the physical batch size (current batch size: 512)",
]
EXACT = ["exceeds the available context size.", "Context size has been exceeded."]
"""llama.cpp's own, which count at a 5xx without numbers."""
OTHERS = [
    "Invalid 'tools[0].function.name': string too long. Expected a string with maximum length 64, but got 70 instead.",
    "Invalid 'prompt': string too long. Expected a string with maximum length 1000, but got 1001 instead.",
    "tool name exceeds maximum length of 64 characters",
    "Invalid 'input': array too long. Expected an array with maximum length 2048, but got 3000 instead.",
    "function description exceeds maximum length 1024",
    "audio input is longer than maximum length 30 s",
    "image exceeds maximum number of tokens allowed (16384)",
    "the value is longer than the maximum length 64",
    "Input text is too long: 9000 characters (limit 8192)",
    "input_image: prompt_image exceeds maximum length",
    "Rate limit reached: 100000 tokens per min. Your context window is longer than your limit.",
    "Too many requests: the maximum context length quota is used up, try again later.",
    "Request was throttled; the maximum input length for your tier was exceeded.",
    "The context length 32768 exceeds what fits into the KV cache; out of memory.",
    "temperature has to be at most 2",
    "The model does not exist.",
    "the file is too long",
    "The prompt queue is too long (128 waiting), please retry.",
    "User-specified max_model_len (32768) is greater than the derived max_model_len (max_position_embeddings=8192).",
    "Concurrency limit exceeded for requests over the 200k context window. Retry after 20 s.",
    "Timeout: prompt processing is too long, engine restarted",
    "Speculative draft model's maximum context length 2048 is smaller than the target's limit; engine failed to start",
    "max_tokens must be at most 4096",
    "Maximum prompt length for logprobs is limited",
    "prompt_logprobs with input length 5000 exceeds the limit of 20",
    "model length must be only in config",
    "the maximum of the model length is set by the server",
    "temperature limit is 2; input length of seed is 5",
    "the engine cannot start: the maximum context length 2048 exceeds 1024",
    "",
    # Bedrock, Azure, OpenAI, Vertex and LiteLLM, when they throttle.
    "Too many tokens, please wait before trying again.",
    "Too many tokens per day, please wait before trying again.",
    "Request too large: the maximum tokens/min of 30000 is exceeded, requested 40000 input tokens.",
    "Input tokens per-minute limit exceeded: 250000 > 200000",
    "You exceeded the maximum number of tokens of your current plan.",
    "You have reached your daily limit: input tokens 500000 exceed 400000",
    "Prompt tokens limit exceeded: 5000 > 4000. Add credits to continue.",
    "The maximum number of tokens in flight is 100000",
    "The server is busy: input length limit is reduced to 1024 tokens",
    "Max tokens usage limit reached for this hour",
]


@pytest.mark.parametrize("message", OVERFLOWS)
def test_every_server_s_words_are_known(message: str) -> None:
    assert is_context_overflow(message, code="", type_="", status=400)
    assert not is_context_overflow(message, code="", type_="", status=429)


@pytest.mark.parametrize("message", OTHERS)
def test_other_limits_are_not_taken_for_it(message: str) -> None:
    assert not is_context_overflow(message, code="", type_="", status=400)


def test_a_code_or_a_type_is_enough() -> None:
    assert is_context_overflow("no", code="context_length_exceeded", type_="", status=None)
    assert is_context_overflow("no", code="", type_="exceed_context_size_error", status=None)
    assert not is_context_overflow("no", code="other", type_="other", status=None)
    assert is_context_overflow("no", code="", type_="ContextWindowExceededError", status=500)
    for word in ("rate_limit_exceeded", "ThrottlingException", "insufficient_quota"):
        for code, type_ in ((word, ""), ("", word), ("context_length_exceeded", word)):
            assert not is_context_overflow("prompt is too long: 9 > 8", code=code, type_=type_, status=400)


@pytest.mark.parametrize(
    "code", ["string_above_max_length", "array_above_max_length", "image_too_large", "invalid_tool_name"]
)
def test_the_worker_s_code_for_another_fault_wins(code: str) -> None:
    message = "The input (9000 tokens) is longer than the model's context length (8192 tokens)."
    assert not is_context_overflow(message, code=code, type_="", status=400)
    for vague in ("", "invalid_value", "invalid_request_error", "worker_error", "INVALID_ARGUMENT"):
        assert is_context_overflow(message, code=vague, type_="invalid_request_error", status=400)


@pytest.mark.parametrize("message", OVERFLOWS)
def test_a_5xx_needs_two_numbers_an_exact_phrase_or_a_code(message: str) -> None:
    has_numbers = len(set(re.findall(r"\d[\d.]*", message))) > 1
    is_certain = has_numbers or any(phrase in message for phrase in EXACT)
    assert is_context_overflow(message, code="", type_="", status=500) is is_certain
    assert is_context_overflow(message, code="context_length_exceeded", type_="", status=500)
    assert is_context_overflow(message, code="", type_="", status=None)


@pytest.mark.parametrize(
    "message",
    [
        "the model's context length is longer than llama-3-8b-8k allows",
        "input tokens exceed the limit of layer-2 and layer-3",
        "maximum context length exceeded: 4096 is the same as 4096",
    ],
)
def test_other_numbers_are_no_counts_of_tokens(message: str) -> None:
    assert not is_context_overflow(message, code="", type_="", status=503)
    assert is_context_overflow(message, code="", type_="", status=400)
