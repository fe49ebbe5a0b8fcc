"""Good requests as bytes, and each with something wrong in it: in its first line, headers, framing, or body."""

import json
from typing import Any

import msgspec
from hypothesis import strategies as st

from tests.fuzz.replies import BODIES, ODD, changed, edited, encode
from tests.stacks import KEY

CHAT = "/v1/chat/completions"
ASKED: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "user", "content": "count to 3"},
        {"role": "assistant", "content": [{"type": "text", "text": "1"}]},
    ],
    "stream": True,
    "stream_options": {"include_usage": True},
    "n": 1,
    "max_tokens": 5,
    "stop": ["x"],
    "temperature": 0.5,
}
GOOD: list[tuple[str, str, Any]] = [
    ("POST", CHAT, ASKED),
    ("POST", CHAT, {"model": "m", "messages": [{"role": "user", "content": "count to 3"}]}),
    ("POST", "/v1/completions", {"model": "m", "prompt": "count to 3", "stream": True}),
    ("POST", "/v1/embeddings", {"model": "m", "input": ["x"], "encoding_format": "base64"}),
    ("GET", "/v1/models", None),
    ("GET", "/v1/models/org%2Fwith-slash", None),
    ("GET", "/livez", None),
    ("OPTIONS", CHAT, None),
]
TARGETS = [
    b"*", b"//", b"/v1/models/%ff%00", b"/v1/models/\xff\xc3\xa9", b"/v1/models/" + b"a" * 60_000,
    b"/v1/../v1/models", b"/v1/models/",
    b"http://127.0.0.1/v1/models", b"/v1/models?" + b"x=%ff&" * 50, b"/v1/responses", b"/v1/models/%2e%2e%2f",
    b"/v2//openai/v1/models",
    b"/v2/%2F/openai/v1/models/a/b//c", b"", b"/\x00", b"/#x", b"/metrics/", b"/v1/models/{x}", b"/readyz?a=b#c",
]  # fmt: skip
METHODS = [b"PUT", b"DELETE", b"PATCH", b"TRACE", b"CONNECT", b"PROPFIND", b"get", b"", b"G\x00T", b"X" * 5000, b"PRI"]
VERSIONS = [b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.1 ", b"", b"http/1.1", b"HTTP/9.99999"]
HEADERS = [
    b"x: " + b"a" * 100_000, b"no colon", b" folded: x", b"x: \x00", b"x: a\rb", b"\xff\xfe: x", b"x: \xff", b": x",
    b"x :y",
    b"\r\n".join(b"x-%d: y" % number for number in range(2000)), b"host: a", b"transfer-encoding: gzip",
    b"transfer-encoding: chunked",
    b"transfer-encoding: chunked, chunked", b"transfer-encoding:\x0bchunked", b"content-length: 5",
    b"content-length: 0",
    b"content-length: -1", b"content-length: +5", b"content-length: 99999999999999999999", b"content-length: abc",
    b"content-length: 5, 5", b"connection: close", b"connection: upgrade\r\nupgrade: h2c\r\nhttp2-settings: AAAA",
    b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: eA==",
    b"expect: 100-continue", b"expect: x", b"content-encoding: gzip", b"content-encoding: deflate",
    b"content-encoding: br, x", b"content-type: multipart/form-data",
    b"cookie: \xff=\xff",
    b"authorization: Bearer", b"authorization: \xff", b"authorization: Basic x", b"api-key: ",
    b"x-api-key: ", b"x-api-key: \xff", b"origin: \xff",
    b"range: bytes=0-1",
    b"access-control-request-headers: \xff, x",
    b"access-control-request-headers: \x01", b"access-control-request-headers: \x7f\t", b"accept: nothing/at-all",
    b"accept-encoding: gzip;q=\xff", b"te: trailers",
]  # fmt: skip
CHUNKS = [
    b"zz\r\nx\r\n", b"-1\r\n", b"ffffffffffffffff\r\n", b"5\r\nab", b"1\r\nxy\r\n",
    b"1;" + b"x" * 20_000 + b"\r\nx\r\n",
    b"0\r\nx: y\r\n\r\n", b"0\r\n" + b"a: b\r\n" * 2000 + b"\r\n", b"\r\n", b"1\nx\n0\n\n",
]  # fmt: skip
SHOWN_BYTES_MAX = 600
POLITE = b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"


@st.composite
def bodies(draw: st.DrawFn, good: Any) -> bytes:
    """The body, or one that is odd: as JSON, or in its bytes."""
    match draw(st.sampled_from(["good", "value", "value", "bytes", "other"])):
        case "good":
            return msgspec.json.encode(good)
        case "value":
            for _ in range(draw(st.integers(1, 3))):
                good = changed(draw, good, ODD)
            return encode(good)
        case "bytes":
            kind = draw(st.sampled_from(["cut", "drop", "double", "insert", "line", "zero"]))
            return edited(json.dumps(good).encode(), kind, draw(st.integers(0, 200)))
        case _:
            return draw(st.one_of(st.sampled_from(BODIES), st.binary(max_size=40)))


class Sent:
    """What is sent on one connection, in the pieces in which it is sent."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces
        self.all = b"".join(pieces)

    def __repr__(self) -> str:
        return repr([piece if len(piece) < SHOWN_BYTES_MAX else piece[:SHOWN_BYTES_MAX] for piece in self.pieces])


@st.composite
def connections(draw: st.DrawFn) -> Sent:
    """A few requests, and a good one at last; or something of it all is missing or added."""
    sent = b"".join(draw(st.lists(one_request(), min_size=1, max_size=3))) + POLITE
    match draw(st.sampled_from(["as it is"] * 4 + ["cut", "drop", "insert", "line", "zero"])):
        case "as it is":
            pass
        case kind:
            sent = edited(sent, kind, draw(st.integers(0, min(len(sent), 1500))))
    cut = draw(st.integers(0, min(len(sent), 1500)))
    return Sent([piece for piece in (sent[:cut], sent[cut:]) if piece])


@st.composite
def one_request(draw: st.DrawFn) -> bytes:
    method_name, path, good = draw(st.sampled_from(GOOD))
    method, target, version = method_name.encode(), path.encode(), b"HTTP/1.1"
    headers = [b"host: x", b"authorization: Bearer " + KEY.encode()]
    body = b"" if good is None else draw(bodies(good))
    spoilt = draw(st.sampled_from(["nothing", "nothing", "target", "method", "version", "header", "header", "chunks"]))
    match spoilt:
        case "target":
            target = draw(st.sampled_from(TARGETS))
        case "method":
            method = draw(st.sampled_from(METHODS))
        case "version":
            version = draw(st.sampled_from(VERSIONS))
        case "header":
            headers.insert(draw(st.integers(0, 2)), draw(st.sampled_from(HEADERS)))
        case "chunks":
            body = b"%x\r\n%b\r\n" % (len(body), body) + draw(st.sampled_from(CHUNKS))
        case _:
            pass
    framing = b"transfer-encoding: chunked" if spoilt == "chunks" else b"content-length: %d" % len(body)
    if good is not None or spoilt == "chunks":
        headers.append(framing)
    return b"\r\n".join([b" ".join([method, target, version]), *headers, b"", body])
