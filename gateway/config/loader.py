"""Read and validate the configuration file; report all problems at once, each with its path in the file."""

import enum
import re
import types
import typing
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import yaml

from gateway.config.model_checks import model_problems
from gateway.config.schema import Config, KeySection


class Problem(msgspec.Struct, frozen=True):
    """Describe one problem in the file."""

    path: str
    text: str

    def __str__(self) -> str:
        """Return one line, as `check-config` prints it."""
        return f"{self.path}: {self.text}" if self.path else self.text


class ConfigError(Exception):
    """Report that a configuration cannot be used; `problems` lists the reasons."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


def load_config(path: Path, environment: Mapping[str, str]) -> Config:
    """Read and validate a file; `environment` replaces its ${NAME} variables.

    Raises:
        ConfigError: The file cannot be read or is invalid; `problems` lists the reasons.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([Problem("", f"cannot read {path}: {error}")]) from None
    except yaml.YAMLError as error:
        raise ConfigError([Problem("", f"{path} is not valid YAML: {_yaml_problem(error)}")]) from None
    except RecursionError:
        raise ConfigError([Problem("", f"{path} is nested too deeply")]) from None
    try:
        return parse_config(raw, environment)
    except RecursionError:
        # With YAML's aliases a list can contain itself.
        raise ConfigError([Problem("", f"{path} is nested too deeply, or contains itself")]) from None


def _yaml_problem(error: yaml.YAMLError) -> str:
    """Describe a syntax error and its position. The error's own text is not used: it quotes the file, with its keys."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return "it cannot be parsed"
    mark = error.problem_mark
    return f"{error.problem} in line {mark.line + 1}, column {mark.column + 1}"


def parse_config(raw: object, environment: Mapping[str, str]) -> Config:
    """Validate the parsed content of a file, and convert it to a configuration.

    Raises:
        ConfigError: The content is invalid; `problems` lists everything found.
    """
    problems: list[Problem] = []
    filled = fill(raw, "", environment, problems)
    unset = {problem.path for problem in problems}
    problems += [problem for problem in _check(filled, Config, "") if problem.path not in unset]
    if problems:
        raise ConfigError(problems)
    config = msgspec.convert(filled, Config, strict=False)
    if problems := list(_cross_check(config)):
        raise ConfigError(problems)
    return config


_KEY = re.compile(r"[\x21-\x7e]+")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def fill(value: Any, path: str, environment: Mapping[str, str], problems: list[Problem]) -> Any:
    """Return a value with ${NAME} and ${NAME:-default} replaced by the environment; append to `problems`."""
    if isinstance(value, dict):
        return {key: fill(item, _join(path, key), environment, problems) for key, item in value.items()}
    if isinstance(value, list):
        return [fill(item, f"{path}[{index}]", environment, problems) for index, item in enumerate(value)]
    if not isinstance(value, str):
        return value

    def look_up(match: re.Match[str]) -> str:
        name, default = match.groups()
        if name in environment:
            return environment[name]
        if default is None:
            problems.append(
                Problem(path, f"environment variable {name} is not set; set it or use ${{{name}:-DEFAULT}}")
            )
        return default or ""

    return _VARIABLE.sub(look_up, value)


def _join(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


def _check(value: Any, expected: Any, path: str) -> list[Problem]:
    """Check a value against a type; return all problems instead of only the first one."""
    if isinstance(value, dict) and (section := _section_of(expected)) is not None:
        return _check_section(value, section, path)
    if isinstance(value, dict) and (arguments := _arguments_of(expected, dict)):
        return _check_mapping(value, *arguments, path=path)
    if isinstance(value, list) and value and (arguments := _arguments_of(expected, list)):
        return [problem for i, item in enumerate(value) for problem in _check(item, arguments[0], f"{path}[{i}]")]
    try:
        msgspec.convert(value, expected, strict=False)
    except msgspec.ValidationError as error:
        text = str(error)
        choices = _choices_of(expected)
        return [Problem(path, f"{text}; expected one of: {', '.join(choices)}" if choices else text)]
    return []


def _check_section(value: dict[Any, Any], section: type[msgspec.Struct], path: str) -> list[Problem]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(section)}
    accepted = ", ".join(fields)
    problems = [
        Problem(_join(path, key), f"unknown key; expected one of: {accepted}") for key in value if key not in fields
    ]
    for name, field in fields.items():
        if name in value:
            problems += _check(value[name], field.type, _join(path, name))
        elif field.required:
            problems.append(Problem(_join(path, name), "required key is missing"))
    return problems


def _check_mapping(value: dict[Any, Any], key_type: Any, value_type: Any, *, path: str) -> list[Problem]:
    """Check a mapping. If its keys are an enumeration, report an unknown key with the accepted ones."""
    accepted = _choices_of(key_type)
    if not accepted:
        return [
            problem
            for key, item in value.items()
            for problem in [*_check(key, key_type, path), *_check(item, value_type, _join(path, key))]
        ]
    return [
        problem
        for key, item in value.items()
        for problem in (
            _check(item, value_type, _join(path, key))
            if key in accepted
            else [Problem(_join(path, key), f"unknown key; expected one of: {', '.join(accepted)}")]
        )
    ]


def _options(expected: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the type itself, without `Annotated` constraints."""
    while typing.get_origin(expected) is typing.Annotated:
        expected = expected.__origin__
    if typing.get_origin(expected) in {typing.Union, types.UnionType}:
        return tuple(option for member in typing.get_args(expected) for option in _options(member))
    return (expected,)


def _section_of(expected: Any) -> type[msgspec.Struct] | None:
    sections = (
        option for option in _options(expected) if isinstance(option, type) and issubclass(option, msgspec.Struct)
    )
    return next(sections, None)


def _arguments_of(expected: Any, container: type) -> tuple[Any, ...]:
    """Return the type arguments of a list or mapping type; empty if the type is not that container."""
    return next(
        (typing.get_args(option) for option in _options(expected) if typing.get_origin(option) is container), ()
    )


def _choices_of(expected: Any) -> list[str]:
    """Return the accepted values of a literal or enum type; empty for other types."""
    choices: list[str] = []
    for option in _options(expected):
        if typing.get_origin(option) is typing.Literal:
            choices += map(str, typing.get_args(option))
        elif isinstance(option, type) and issubclass(option, enum.Enum):
            choices += [str(member.value) for member in option]
    return choices


def _cross_check(config: Config) -> Iterator[Problem]:
    """Yield the problems that concern more than a single field."""
    yield from _repeated("endpoints", [endpoint.name for endpoint in config.endpoints])
    yield from _repeated("models", [model.id for model in config.models])
    guests = [config.guest.name] if config.guest else []
    yield from _repeated("tenants", [*(tenant.name for tenant in config.tenants), *guests])
    yield from _repeated_keys(config)
    for index, endpoint in enumerate(config.endpoints):
        if (endpoint.api_key is None) is (endpoint.api_key_file is None):
            yield Problem(f"endpoints[{index}].api_key", "set exactly one of api_key and api_key_file")
        elif endpoint.api_key is not None and (problem := key_problem(endpoint.api_key)):
            yield Problem(f"endpoints[{index}].api_key", problem)
    if (config.state.kind == "redis") is (config.state.url is None):
        yield Problem("state.url", "required with `kind: redis`, and only with it; expected redis://HOST:PORT/0")
    elif config.state.url is not None and (problem := _store_url_problem(config.state.url)):
        yield Problem("state.url", problem)
    yield from (Problem(path, text) for path, text in model_problems(config))
    model_ids = {model.id for model in config.models}
    for index, tenant in enumerate(config.tenants):
        for model_id in tenant.models:
            if model_id not in {"*"} | model_ids and "*" not in model_ids:
                yield Problem(
                    f"tenants[{index}].models", f"unknown model '{model_id}'; expected the id of a model in `models`"
                )


_STORE_OPTIONS = {
    "db", "protocol", "ssl_ca_certs", "ssl_ca_path", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname",
    "ssl_keyfile", "socket_timeout", "socket_connect_timeout",
}  # fmt: skip


def _store_url_problem(url: str) -> str | None:
    """Describe the problem with the store's URL, None without one; the text never quotes the URL and its password."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return "is not a valid URL; percent-encode the characters /?#@: in a password"
    if parts.scheme != "unix" and not parts.hostname:
        return "has no host"
    if unknown := {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)} - _STORE_OPTIONS:
        return (
            f"{len(unknown)} of its options are not supported; supported options: {', '.join(sorted(_STORE_OPTIONS))}"
        )
    return None


def all_keys(config: Config) -> Iterator[tuple[str, str]]:
    """Yield each key as its tenant's name and its hex digest."""
    for tenant in config.tenants:
        for key in tenant.keys:
            yield tenant.name, key_digest(key)


def key_problem(api_key: str) -> str | None:
    """Describe the problem with a Runpod key, without quoting it; None if there is none."""
    return None if _KEY.fullmatch(api_key.strip()) else "is empty, or contains characters other than visible ASCII"


def key_digest(key: KeySection | str) -> str:
    """Return the hex digest of a key, in lower case and without its prefix."""
    return (key if isinstance(key, str) else key.sha256).removeprefix("sha256:").lower()


def _repeated_keys(config: Config) -> Iterator[Problem]:
    """Yield keys that are listed twice, by the names of their tenants: the digest of a weak key would reveal it."""
    owners: dict[str, list[str]] = {}
    for name, digest in all_keys(config):
        owners.setdefault(digest, []).append(name)
    for names in owners.values():
        if len(names) > 1:
            yield Problem("tenants[].keys", f"the same key is listed {len(names)} times, for: {', '.join(names)}")


def _repeated(path: str, names: list[str]) -> Iterator[Problem]:
    for name, count in Counter(names).items():
        if count > 1:
            yield Problem(path, f"'{name}' is listed {count} times; each must be unique")
