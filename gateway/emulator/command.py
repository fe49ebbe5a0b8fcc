"""Implement `fairpod emulator`: every setting and every fault is a flag of the same name."""

import argparse
import contextlib
import sys
from enum import StrEnum
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
import uvicorn

from gateway.emulator.app import build_emulator
from gateway.emulator.faults import Faults
from gateway.emulator.limits import Limit, Operation
from gateway.emulator.settings import EmulatorSettings

_SETTING = "setting:"
_FAULT = "fault:"
_OTHER_NAMES = {"prestart_s": ("--prestart",)}
_NOT_FLAGS = frozenset({"faults", "limits"})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the emulator's flags to a parser."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, default=9000, help="port to listen on (default %(default)s)")
    parser.add_argument(
        "--limit",
        action="append",
        default=[],
        metavar="OPERATION=PER_10S/CONCURRENT",
        help="override a published rate limit; either number may be omitted",
    )
    _add_flags(parser.add_argument_group("settings"), EmulatorSettings, prefix=_SETTING)
    _add_flags(parser.add_argument_group("faults"), Faults, prefix=_FAULT)


def run(arguments: argparse.Namespace) -> int:
    """Serve an emulator until interrupted. Return the exit status: 2 for invalid flags, 1 if the start failed."""
    try:
        settings = read_settings(arguments)
    except msgspec.ValidationError as error:
        sys.stderr.write(f"fairpod emulator: {error}\n")
        return 2
    base = f"http://{arguments.host}:{arguments.port}"
    sys.stdout.write(f"Runpod emulator: {base}/v2/ENDPOINT_ID (faults and jobs: {base}/emulator)\n")
    sys.stdout.flush()
    server = uvicorn.Server(
        uvicorn.Config(
            build_emulator(settings),
            host=arguments.host,
            port=arguments.port,
            http="httptools",
            log_level="warning",
            timeout_graceful_shutdown=1,
            # Like an edge proxy: longer than clients keep idle connections.
            timeout_keep_alive=75,
        )
    )
    # uvicorn raises the signal again only after an orderly shutdown.
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    return 0 if server.started else 1


def read_settings(arguments: argparse.Namespace) -> EmulatorSettings:
    """Build the settings from the parsed flags.

    Raises:
        msgspec.ValidationError: A flag has a value that its setting does not allow.
    """
    given: dict[str, Any] = _given(arguments, _SETTING)
    given["faults"] = _given(arguments, _FAULT)
    given["limits"] = dict(_limit(text) for text in arguments.limit)
    return msgspec.convert(given, EmulatorSettings, strict=False)


def _given(arguments: argparse.Namespace, prefix: str) -> dict[str, Any]:
    return {
        name.removeprefix(prefix): value
        for name, value in vars(arguments).items()
        if name.startswith(prefix) and value is not None
    }


def _limit(text: str) -> tuple[str, Limit]:
    name, equals, numbers = text.partition("=")
    per_10s, _, concurrent = numbers.partition("/")
    if name not in set(Operation):
        raise msgspec.ValidationError(
            f"--limit {text}: unknown operation {name}; expected one of: {', '.join(Operation)}"
        )
    if not equals or not all(number.isdecimal() for number in (per_10s, concurrent) if number):
        raise msgspec.ValidationError(f"--limit {text}: expected OPERATION=PER_10S/CONCURRENT")
    return name, Limit(per_10s=int(per_10s) if per_10s else None, concurrent=int(concurrent) if concurrent else None)


def _add_flags(group: "argparse._ArgumentGroup", struct: type[msgspec.Struct], *, prefix: str) -> None:
    hints = get_type_hints(struct)
    for field in msgspec.structs.fields(struct):
        if field.name in _NOT_FLAGS:
            continue
        flag = f"--{field.name.replace('_', '-')}"
        options: dict[str, Any] = {"dest": prefix + field.name, "default": None}
        options |= _flag_options(hints[field.name])
        options["help"] = f"default {field.default!s}" if field.default not in ("", ()) else "default none"
        group.add_argument(flag, *_OTHER_NAMES.get(field.name, ()), **options)


def _flag_options(hint: Any) -> dict[str, Any]:
    """Build the argparse options for a field of this type. msgspec checks the ranges."""
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction}
    if get_origin(hint) is Literal:
        return {"choices": [choice for choice in get_args(hint) if choice]}
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return {"choices": [choice.value for choice in hint if choice.value]}
    if get_origin(hint) is tuple:
        return {"nargs": "+", "metavar": "NAME"}
    return {"type": hint, "metavar": "N" if hint in {int, float} else "TEXT"}
