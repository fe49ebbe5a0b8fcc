"""An OpenTelemetry collector: OTLP over HTTP on the loopback interface, which keeps what it is sent."""

import contextlib
import http.server
import threading
from collections.abc import Iterator
from typing import Any

import msgspec
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

HELD_S_MAX = 50.0
_SERVER = 2


class SentSpan(msgspec.Struct, frozen=True, kw_only=True):
    """A span as it arrived."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    is_failed: bool
    start_s: float
    end_s: float
    attributes: dict[str, Any]
    resource: dict[str, Any]
    scope: str


class Collector:
    """`status` is what it answers, as soon as it `may_answer`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.status = 200
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        """Path, headers and body."""

    def spans(self) -> list[SentSpan]:
        """All spans, in the order of their beginnings; what holds the others first."""
        made = [span for _, _, body in self.requests for span in _spans(body)]
        return sorted(made, key=lambda span: (span.kind != _SERVER, span.start_s, span.end_s))


@contextlib.contextmanager
def collecting() -> Iterator[Collector]:
    """A collector for the length of the block."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            collector.may_answer.wait(HELD_S_MAX)
            collector.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            with contextlib.suppress(OSError):
                self.send_response(collector.status)
                self.send_header("content-length", "0")
                self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector = Collector(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        collector.may_answer.set()
        server.shutdown()
        server.server_close()
        thread.join(5)


def _spans(body: bytes) -> Iterator[SentSpan]:
    for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = _values(of_resource.resource.attributes)
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                yield SentSpan(
                    name=span.name,
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    kind=span.kind,
                    is_failed=span.status.code == 2,
                    start_s=span.start_time_unix_nano / 1e9,
                    end_s=span.end_time_unix_nano / 1e9,
                    attributes=_values(span.attributes),
                    resource=resource,
                    scope=of_scope.scope.name,
                )


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
