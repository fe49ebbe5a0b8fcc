import re

import pytest

from gateway.translate import private_places as places
from gateway.translate.private_places import with_bare_urls, without_places
from tests.patterns import reach_of

URLS = {
    "see https://huggingface.co/docs/x?token=y now": "see https://huggingface.co/… now",
    "See https://huggingface.co.": "See https://huggingface.co.",
    "(https://huggingface.co/docs), and": "(https://huggingface.co/…), and",
    "for url 'https://a.example.com/x'.": "for url 'https://a.example.com/…'.",
    '{"url": "https://a.example.com:8443/x"}': '{"url": "https://a.example.com/…"}',
    "https://example.com/@user/x": "https://example.com/…",
    # The last @ stands before the host.
    "https://user:hunter2@git.example.com/x": "https://git.example.com/…",
    "https://user:p@ss@git.example.com/x": "https://git.example.com/…",
    "https://user:p@s.s@git.example.com": "https://git.example.com",
    "https://user:p/s@s@git.example.com/x": "https://git.example.com/…",
    "postgres://u:p)s's@db.example.com/x": "postgres://db.example.com/…",
    "postgres://u:p/ss@db.example.com/x": "postgres://db.example.com/…",
    "redis://:p@ss@db.internal:6379/0": "redis://…",
    "http://user@engine:8000/v1": "http://…",
    # Not public.
    "http://10.1.2.3:8000/v1": "http://…",
    "http://engine:8000/v1": "http://…",
    "http://[fe80::1]:8000/v1": "http://…",
    "http://vllm.default.svc.cluster.local:8000": "http://…",
    "https://abc-8000.proxy.runpod.net/v1": "https://…",
    "http://localhost/v1": "http://…",
    "file:///workspace/a.py": "file://…",
}
PLACES = {
    "Cannot connect to host 10.1.2.3:8000.": "Cannot connect to host ….",
    "10.1.2.3:8000/v1 and 10.1.2.3": "…/v1 and …",
    "pod-xyz.runpod.internal:8000 refused": "… refused",
    "abc-8000.proxy.runpod.net refused": "… refused",
    "vllm.default.svc.cluster.local:8000 refused": "… refused",
    "localhost:8000 refused": "… refused",
    "Cannot connect to host vllm-engine:8000 ssl:default": "Cannot connect to host … ssl:default",
    "connection to engine:8000 failed": "connection to … failed",
    "HTTPConnectionPool(host='engine', port=8000)": "HTTPConnectionPool(host='…', port=8000)",
    "vllm-engine-0:8000 refused": "… refused",
    "vllm-llama-3-8b:8000 refused": "… refused",
    "cannot connect to vllm-llama-3-8b:8000: not found": "cannot connect to …: not found",
    "the model server vllm-engine-0:8000 is not available": "the model server … is not available",
    "vllm-engine-0:8000 is not available": "… is not available",
    "[fe80::1%eth0]:8000 refused": "… refused",
    "[2001:db8::1]:8000 refused": "… refused",
    "::1 and 2001:db8::8a2e:370:7334 and fe80::": "… and … and …",
    "1:2:3:4:5:6:7:8 and ::ffff:10.1.2.3": "… and …",
    "user:hunter2@db:5432/x": "…/x",
    "user:p@ss@db.example.com:5432": "…@db.example.com:5432",
    "no such file /workspace/models/a.py": "no such file …",
    r"no such file C:\models\a.py": "no such file …",
}
KEPT = [
    "version 1.12.0 of the SDK",
    "at 12:34:56, x[::2], [10:20:30]",
    "c10::Error and std::bad_alloc",
    "value must be between 0/1 and 1/1",
    "the model `org/some-model` does not exist",
    "HTTPSConnectionPool(host='huggingface.co', port=443)",
    "the host is not found, and the server returned nothing",
    "image org/image:tag@sha256:abcd",
    "server=vllm, error: 5000, step-2: 10",
    "bob@example.com",
    "model not found: llama-3-8b-instruct:11434",
    "model 'my-tuned-model:2024' does not exist",
    "gpt-oss-20b:8192 not available",
    "mixtral-8x7b-instruct:1024 does not support tools",
]


@pytest.mark.parametrize("text", URLS)
def test_of_a_url_a_public_host_stays(text: str) -> None:
    assert with_bare_urls(text) == URLS[text]


@pytest.mark.parametrize("text", PLACES)
def test_places_are_taken_out_and_nothing_else(text: str) -> None:
    assert without_places(text) == PLACES[text]


@pytest.mark.parametrize("text", KEPT)
def test_what_is_no_place_stays(text: str) -> None:
    assert without_places(text) == text
    assert with_bare_urls(text) == text


def test_no_expression_looks_further_than_a_bound() -> None:
    """So that the work grows with the length of a text, and no faster."""
    patterns = {name: each for name, each in vars(places).items() if isinstance(each, re.Pattern)}
    assert len(patterns) > 8
    for name, each in patterns.items():
        assert reach_of(each.pattern, each.flags & re.DOTALL) < 100_000, name
