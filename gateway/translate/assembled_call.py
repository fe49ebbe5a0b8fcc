"""One tool call under assembly: what is known of it, and what is written of it."""

import msgspec
from msgspec import Raw

from gateway.translate.tool_call_fragments import PAYLOADS
from gateway.wire import openai
from gateway.wire.openai import Fields

HELD_BYTES_MAX = 1024 * 1024
"""Arguments that wait for an id: beyond this the id is generated. Longer ones are not checked for completeness."""
PLACEHOLDERS = frozenset({"{}", "null"})
"""What some workers write as arguments before they know them."""
_PLACEHOLDER_MAX = max(map(len, PLACEHOLDERS))
_ENDS = ("}", "]", "l")
"""How an object, a list and null end."""
_OBJECT_MAY_FOLLOW = (":", ",", "[")


class AssembledCall(msgspec.Struct, eq=False):
    """A call under assembly."""

    number: int
    """Its index in what is written."""
    kind: str
    index: int | None
    """The worker's index at which it began."""
    sent_id: str = ""
    """The worker's id, which another call may have too."""
    id: str = ""
    name: str = ""
    arguments: list[str] = msgspec.field(default_factory=list)
    """Kept up to HELD_BYTES_MAX."""
    size: int = 0
    held: list[str] = msgspec.field(default_factory=list)
    """The arguments that are not written yet."""
    extra: Fields = msgspec.field(default_factory=dict)
    is_written: bool = False
    is_named_again: bool = False
    """Whether its name was repeated after complete arguments: if arguments follow, they are another call's."""

    @property
    def has_complete_arguments(self) -> bool:
        """Report whether the arguments so far are a JSON object or list, or null for none."""
        if not self.size or self.size > HELD_BYTES_MAX or self.kind == "custom":
            return False
        # Read only where they may end, or a name in each of many fragments would have them read as often.
        last = next((part for part in reversed(self.arguments) if not part.isspace()), "")
        if not last.rstrip().endswith(_ENDS):
            return False
        return _is_value("".join(self.arguments))

    @property
    def has_placeholder(self) -> bool:
        """Report whether the arguments so far are an empty object or null, and not written yet."""
        return self.size <= _PLACEHOLDER_MAX and self.kind != "custom" and "".join(self.held) in PLACEHOLDERS

    @property
    def is_over_bound(self) -> bool:
        """Report whether more arguments wait than are held back for an id."""
        return self.size > HELD_BYTES_MAX

    def is_said_again(self, arguments: str) -> bool:
        """Report whether a part is all of the arguments again, which are complete."""
        if len(arguments) < self.size or not arguments.strip() or self.has_placeholder:
            return False
        return arguments == "".join(self.arguments) and self.has_complete_arguments

    def can_go_on(self, arguments: str) -> bool:
        """Report whether a part may go on with arguments that are open: an object follows only where JSON allows it."""
        if self.kind == "custom" or not arguments.strip():
            return False
        return not begins_object(arguments) or "".join(self.arguments).rstrip().endswith(_OBJECT_MAY_FOLLOW)

    def append(self, arguments: str) -> None:
        """Add a part of the arguments, without what was said before; an object takes the place of a placeholder."""
        if not arguments or self.is_said_again(arguments):
            return
        if self.has_placeholder and begins_object(arguments):
            self.arguments, self.held, self.size = [], [], 0
        elif self._is_cumulative(arguments):
            arguments = arguments[self.size :]
        self.size += len(arguments)
        self.held.append(arguments)
        if self.size <= HELD_BYTES_MAX:
            self.arguments.append(arguments)

    def _is_cumulative(self, arguments: str) -> bool:
        """Report whether a part begins with all that came before, and JSON cannot go on with it."""
        if not 0 < self.size < min(len(arguments), HELD_BYTES_MAX) or self.kind == "custom":
            return False
        before = "".join(self.arguments)
        return (
            begins_object(before) and arguments.startswith(before) and not before.rstrip().endswith(_OBJECT_MAY_FOLLOW)
        )

    def begin(self, *, id_prefix: str) -> Fields:
        """Write the first fragment of the call, with all that was held back; generate the id if there is none."""
        self.is_written = True
        self.id = self.id or f"call_{id_prefix}{self.number:02x}"
        return {
            "index": Raw(str(self.number).encode()),
            "id": Raw(openai.encode(self.id)),
            "type": Raw(openai.encode(self.kind)),
            **self.extra,
            **payload_of(self.kind, arguments=self._released(), name=self.name),
        }

    def more(self, extra: Fields) -> list[Fields]:
        """Return the fragment that goes on with a call that was begun; none if there is nothing to say."""
        arguments = self._released()
        said = extra | (payload_of(self.kind, arguments=arguments) if arguments else {})
        return [{"index": Raw(str(self.number).encode()), **said}] if said else []

    def _released(self) -> str:
        arguments, self.held = "".join(self.held), []
        return arguments


def _is_value(text: str) -> bool:
    try:
        msgspec.json.decode(text, type=dict | list | None)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return False
    return True


def begins_object(arguments: str) -> bool:
    """Report whether a part of arguments is the first one."""
    return arguments.lstrip()[:1] == "{"


def payload_of(kind: str, *, arguments: str, name: str | None = None) -> Fields:
    """Write the object that holds the arguments of a call, and its name."""
    named = {} if name is None else {"name": name}
    return {kind: Raw(openai.encode({**named, PAYLOADS[kind]: arguments}))}
