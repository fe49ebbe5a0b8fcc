"""Put the parts of an answer into output items, of which one is open at a time.

Items are in the order of their first parts, except that whatever comes while the arguments of a tool call are
incomplete waits for them: workers that make several calls may send their arguments in turns.
"""

from collections import deque
from collections.abc import Mapping

from gateway.errors import OutputLostError
from gateway.translate.responses.choice_parts import Kind, Part
from gateway.translate.responses.output_items import CustomCall, Event, FunctionCall, Item, Message
from gateway.translate.responses.tools import DeclaredTool

ITEMS_MAX = 4096
"""Maximum number of output items: a worker that alternates between two kinds would open one for each token."""
_BLANKS = b" \\nrt"
"""Characters of white space in a JSON string with its escapes."""


class Output:
    """Build the output items of one response."""

    def __init__(self, declared: Mapping[str, DeclaredTool], *, id_suffix: str) -> None:
        """Start without items; `id_suffix` makes their ids unique among responses."""
        self.events: list[Event] = []
        """Events that were not written yet; the owner removes them."""
        self.item: Item | None = None
        """The open item."""
        self.done: list[bytes] = []
        """Items that are closed, encoded."""
        self._declared = declared
        self._id_suffix = id_suffix
        self._kind: Kind = Message
        self._waiting: deque[Part] = deque()
        self._waiting_calls: dict[int, Part] = {}
        self._closed_calls: set[int] = set()

    def add(self, part: Part) -> None:
        """Write a part, or let it wait until the open call is complete.

        Raises:
            OutputLostError: There are too many items, or a call is continued after it was closed.
        """
        item = self.item
        if item is None:
            self._write(part)
        elif part.kind == self._kind:
            self._write(part)
            if self._waiting and item.may_close:
                self._write_waiting(is_last=False)
        elif not self._waiting and item.may_close:
            self._write(part)
        else:
            self._wait(part)

    def finish(self, status: bytes) -> None:
        """Write what waits, and close the last item with this status. Without any item, write an empty message.

        Raises:
            OutputLostError: There are too many items.
        """
        self._write_waiting(is_last=True)
        if self.item is None and not self.done:
            self._open(Part(Message))
        self._close(status)

    def encoded_items(self) -> list[bytes]:
        """Return all items so far; the open one is incomplete."""
        return self.done if self.item is None else [*self.done, self.item.encoded(b"incomplete")]

    def _wait(self, part: Part) -> None:
        """Keep a part; those of one call are joined, so that they do not wait for each other."""
        if isinstance(part.kind, int):
            if (known := self._waiting_calls.get(part.kind)) is not None:
                known.text += part.text
                return
            part.text = bytearray(part.text)
            self._waiting_calls[part.kind] = part
        self._waiting.append(part)

    def _write_waiting(self, *, is_last: bool) -> None:
        while self._waiting and (is_last or self.item is None or self.item.may_close):
            part = self._waiting.popleft()
            if isinstance(part.kind, int):
                del self._waiting_calls[part.kind]
            self._write(part)

    def _write(self, part: Part) -> None:
        if isinstance(part.kind, int) and part.kind in self._closed_calls:
            if part.text.strip(_BLANKS):
                raise OutputLostError("The worker went on with a tool call after its arguments were complete.")
            return
        if self.item is None or part.kind != self._kind:
            self._close(b"completed")
            self._open(part)
        item = self.item
        assert item is not None  # noqa: S101 - it was opened.
        event = item.delta(bytes(part.text), part.logprobs)
        if event is not None:
            self.events.append(event)

    def _open(self, part: Part) -> None:
        index = len(self.done)
        if index >= ITEMS_MAX:
            raise OutputLostError(f"The worker's answer has more than {ITEMS_MAX} parts.")
        id_end = f"_{self._id_suffix}{index:x}"
        if isinstance(part.kind, int):
            tool = self._declared.get(part.name) or DeclaredTool(part.name)
            made = CustomCall if tool.is_custom else FunctionCall
            self.item = made(made.prefix + id_end, index, call_id=part.call_id, tool=tool)
        else:
            self.item = part.kind(part.kind.prefix + id_end, index)
        self._kind = part.kind
        self.events += self.item.opening()

    def _close(self, status: bytes) -> None:
        item, self.item = self.item, None
        if item is None:
            return
        if isinstance(self._kind, int):
            self._closed_calls.add(self._kind)
        encoded = item.encoded(status)
        self.done.append(encoded)
        self.events += item.closing()
        self.events.append(item.closed(encoded))
