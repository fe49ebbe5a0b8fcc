"""Reads streams of responses as a strict client does, and folds their events to the object at the end."""

from typing import Any

import msgspec

from gateway.translate.responses.request import ResponsesRequest, read_responses_request
from gateway.translate.responses.writer import ResponseWriter
from tests.factories import fields_of

Event = dict[str, Any]
KINDS = {"output_text": "text", "refusal": "refusal", "reasoning_text": "text"}


def asked(**fields: Any) -> ResponsesRequest:
    """A request as a client would send it."""
    return read_responses_request(msgspec.json.encode({"model": "m", "input": "Hello", "stream": True, **fields}))


def writer(**fields: Any) -> ResponseWriter:
    return ResponseWriter(asked(**fields), answer_id="resp_ab", created_s=99)


def chunk(reason: str | None = None, **delta: Any) -> Any:
    return fields_of({"id": "w", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})


def call(index: int, arguments: str, name: str | None = None) -> Any:
    """A part of a tool call; with its name, the first."""
    named = {} if name is None else {"name": name}
    first = {} if name is None else {"id": f"call-{index}", "type": "function"}
    return chunk(tool_calls=[{"index": index, **first, "function": {**named, "arguments": arguments}}])


def written(subject: ResponseWriter, *chunks: Any) -> list[Event]:
    """The events of a whole stream."""
    return events(b"".join(map(subject.write, chunks)) + subject.end())


def events(stream: bytes) -> list[Event]:
    """The events, whose names are their types and whose numbers have no gap."""
    *frames, rest = stream.split(b"\n\n")
    assert rest == b""
    told = []
    for frame in frames:
        name, _, data = frame.partition(b"\ndata: ")
        event = msgspec.json.decode(data)
        assert name == b"event: " + event["type"].encode()
        told.append(event)
    first = told[0]["sequence_number"] if told else 0
    assert [each["sequence_number"] for each in told] == list(range(first, first + len(told)))
    return told


class Client:
    """Folds events as openai-python's and openai-node's helpers do, and accepts nothing that these refuse."""

    def __init__(self) -> None:
        self.output: list[Any] = []
        self.open: Any = None
        self.final: Any = None
        self.response_id = ""

    def read(self, told: list[Event]) -> "Client":
        assert told[0]["type"] == "response.created"
        for event in told:
            assert self.final is None, "nothing follows the end"
            self._read(event)
        return self

    def _read(self, event: Event) -> None:
        kind = event["type"].removeprefix("response.")
        if "response" in event:
            known = self.response_id = self.response_id or event["response"]["id"]
            assert event["response"]["id"] == known
            if kind in {"completed", "incomplete", "failed"}:
                assert self.open is None or kind == "failed"
                self.final = event["response"]
            else:
                assert event["response"]["output"] == []
            return
        assert event["output_index"] == len(self.output) - (self.open is not None)
        if kind == "output_item.added":
            assert self.open is None
            self.open = event["item"]
            self.output.append(self.open)
            return
        if kind == "output_item.done":
            done, self.open = self.open, None
            assert done == {**event["item"], "status": "in_progress"}
            done["status"] = event["item"]["status"]
            return
        assert event["item_id"] == self.open["id"]
        self._extend(kind, event)

    def _extend(self, kind: str, event: Event) -> None:
        match kind.rpartition("."):
            case "content_part", _, "added":
                self.open["content"].append(event["part"])
            case "content_part", _, "done":
                assert self.open["content"][event["content_index"]] == event["part"]
            case "function_call_arguments", _, "delta":
                self.open["arguments"] += event["delta"]
            case "function_call_arguments", _, "done":
                assert (self.open["arguments"], self.open["name"]) == (event["arguments"], event["name"])
            case "custom_tool_call_input", _, "delta":
                self.open["input"] += event["delta"]
            case "custom_tool_call_input", _, "done":
                assert self.open["input"] == event["input"]
            case part_type, _, "delta":
                part = self.open["content"][event["content_index"]]
                assert part["type"] == part_type
                part[KINDS[part_type]] += event["delta"]
                if part_type == "output_text":
                    part["logprobs"] += event["logprobs"]
            case part_type, _, "done":
                field = KINDS[part_type]
                assert self.open["content"][event["content_index"]][field] == event[field]
            case _:
                raise AssertionError(kind)
