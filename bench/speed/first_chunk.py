"""Seconds to the first chunk: through the gateway, and of the job API by itself."""

import http.client
import json
import time
from http.client import HTTPConnection, HTTPResponse

WAIT_S_MAX = 20.0


class NoAnswerError(RuntimeError):
    """The server did not answer as it should."""


def ask_gateway(port: int, body: bytes, key: str) -> float:
    """Until the first event of a stream through the gateway; the rest is read, and not timed."""
    connection = HTTPConnection("127.0.0.1", port, timeout=WAIT_S_MAX)
    connection.connect()
    begun_s = time.perf_counter()
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    connection.request("POST", "/v1/chat/completions", body, headers)
    response = connection.getresponse()
    received = response.read1()
    took_s = time.perf_counter() - begun_s
    received += response.read()
    connection.close()
    if response.status != http.client.OK or b"data: [DONE]" not in received:
        raise NoAnswerError(f"status {response.status}")
    return took_s


def ask_runpod(port: int, endpoint: str, body: bytes) -> float:
    """Until the first page of outputs: a /run, and the long poll after it."""
    connection = HTTPConnection("127.0.0.1", port, timeout=WAIT_S_MAX)
    connection.connect()
    job_input = json.dumps(
        {"input": {"openai_route": "/v1/chat/completions", "openai_input": json.loads(body)}}
    ).encode()
    begun_s = time.perf_counter()
    connection.request("POST", f"/v2/{endpoint}/run", job_input)
    job_id = json.loads(_body(connection.getresponse()))["id"]
    connection.request("POST", f"/v2/{endpoint}/stream/{job_id}?wait=10000")
    page = json.loads(_body(connection.getresponse()))
    took_s = time.perf_counter() - begun_s
    connection.close()
    if not page["stream"]:
        raise NoAnswerError(f"a first page without outputs: {page['status']}")
    return took_s


def _body(response: HTTPResponse) -> bytes:
    if response.status != http.client.OK:
        raise NoAnswerError(f"status {response.status}")
    return response.read()
