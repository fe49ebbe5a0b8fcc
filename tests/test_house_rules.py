"""The rules of the house that a machine can check."""

import ast
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
MODULES = sorted((ROOT / "gateway").rglob("*.py"))
LINES_MAX = 300
FUNCTION_LINES_MAX = 60
PARAMETERS_MAX = 6
VAGUE = {"utils", "util", "helpers", "helper", "common", "base", "core", "manager", "misc", "types"}
WITHOUT_TEST = {
    # Nouns and tables that every other test uses.
    "gateway/domain.py", "gateway/clock.py", "gateway/endpoints/address_state.py",
    "gateway/exchange/admitted.py", "gateway/jobs/pending_cancel.py", "gateway/jobs/cancel_backlog.py",
    "gateway/jobs/abandonment.py",
    "gateway/__main__.py",
    "gateway/errors/failure.py",
    "gateway/errors/request.py", "gateway/errors/refusal.py", "gateway/errors/upstream.py",
    # Structs without methods.
    "gateway/exchange/actions.py", "gateway/endpoints/actions.py",
    # Protocols.
    "gateway/exchange/sink.py", "gateway/exchange/attempt.py", "gateway/translate/dialects/contract.py",
    "gateway/exchange/response_store.py",
    "gateway/api/client_connection.py",
    "gateway/translate/client_formats/contract.py",
    # Rows, which tests/translate/client_formats/test_registry.py holds.
    "gateway/apis.py", "gateway/translate/client_formats/openai_chat.py",
    "gateway/translate/client_formats/openai_completions.py", "gateway/translate/client_formats/openai_embeddings.py",
    "gateway/translate/client_formats/openai_stream.py",
    "gateway/translate/client_formats/anthropic_messages.py",
    # Structs, which test_request.py and test_conversation.py fill.
    "gateway/translate/messages/body.py",
    # Read by a validator, in tests/api/test_openapi_schemas.py.
    "gateway/translate/client_formats/schema.py",
    # Driven as a whole, by tests/e2e and tests/clients.
    "gateway/app.py", "gateway/asgi.py", "gateway/server/run.py", "gateway/cli.py", "gateway/api/router.py",
    "gateway/api/not_found.py", "gateway/composition/optional.py",
    "gateway/composition/tenants_and_models.py", "gateway/composition/endpoints.py",
    # Used by every gateway that tests run.
    "gateway/observability/fan_out.py",
    # Scraped with the rest, in tests/observability/test_metrics.py.
    "gateway/observability/gauges.py", "gateway/observability/process_metrics.py",
    "gateway/commands/serve.py", "gateway/commands/check_config.py", "gateway/commands/key.py",
    "gateway/commands/exit_codes.py", "gateway/demo/ready.py",
    # The parts of one story, told as a whole by tests/exchange/test_exchange.py.
    "gateway/exchange/answer.py", "gateway/exchange/record.py", "gateway/exchange/resolved_request.py",
    "gateway/jobs/job_tracker.py",
    # The parts of one machine, driven as a whole by tests/exchange/test_machine.py.
    "gateway/exchange/admission_request.py", "gateway/exchange/attempt_factory.py",
    "gateway/exchange/attempt_sequence.py", "gateway/exchange/settlement.py", "gateway/exchange/outcomes.py",
    "gateway/jobs/job.py", "gateway/jobs/job_operation.py",
    # The parts of two drivers, told as a whole by tests/exchange/test_asyncio_driver.py and test_connection_driver.py.
    "gateway/exchange/driver.py", "gateway/exchange/open_call.py",
    # One of two sinks of tests/api/test_answer_response.py.
    "gateway/api/asgi_sink.py",
    # A description of a request, which tests/upstream/test_job_api.py sends.
    "gateway/upstream/request.py",
    # Told by its gate, in tests/admission/test_gate.py.
    "gateway/admission/permit.py", "gateway/admission/permit_context.py",
    # Prices, which tests/fairshare/test_fair_queue.py pays.
    "gateway/fairshare/cost_model.py",
    # A Protocol and what it sends, which tests/state/test_redis_leases.py sends.
    "gateway/admission/lease_store.py",
    # Whole replicas, in tests/admission/test_lease_agent.py and tests/e2e/test_replicas.py.
    "gateway/admission/leased_capacity.py", "gateway/server/processes.py",
    # Types; what is checked about them is checked where they are read and emitted.
    "gateway/config/schema.py", "gateway/events.py", "gateway/config/to_domain.py",
    # Its rules are those of streams and of whole answers, in test_chunks.py and test_completion.py.
    "gateway/translate/choices.py",
    # Read by test_tool_calls.py.
    "gateway/translate/tool_call_fragments.py",
    # Held by one suite for all of them, tests/contracts/test_dialects.py.
    "gateway/translate/dialects/openai.py", "gateway/translate/dialects/tokens.py",
    "gateway/translate/dialects/legacy.py", "gateway/translate/dialects/text.py",
    "gateway/translate/dialects/synthetic_chunks.py", "gateway/translate/dialects/registry.py",
}  # fmt: skip


def name_of(path: pathlib.Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.fixture(params=MODULES, ids=name_of)
def module(request: pytest.FixtureRequest) -> pathlib.Path:
    path: pathlib.Path = request.param
    return path


def test_files_functions_and_parameter_lists_are_short(module: pathlib.Path) -> None:
    text = module.read_text()
    assert text.count("\n") <= LINES_MAX
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < FUNCTION_LINES_MAX, node.name
            names = [each.arg for each in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
            assert len([name for name in names if name not in {"self", "cls"}]) <= PARAMETERS_MAX, node.name


def test_numbers_are_recognized_as_int_reads_them(module: pathlib.Path) -> None:
    """`str.isdigit` is true for "²", which `int` refuses; `str.isdecimal` is true for what `int` reads."""
    assert not re.search(r"\.(isdigit|isnumeric)\(", module.read_text())


def test_modules_say_what_lives_in_them(module: pathlib.Path) -> None:
    assert module.stem not in VAGUE
    assert ast.get_docstring(ast.parse(module.read_text()))


def test_every_module_has_its_test(module: pathlib.Path) -> None:
    name = name_of(module)
    if module.stem == "__init__" or name in WITHOUT_TEST:
        return
    folder = ROOT / "tests" / module.relative_to(ROOT / "gateway").parent
    assert list(folder.glob(f"test_{module.stem}.py")) + list(folder.glob(f"test_{module.stem}_*.py"))


def test_the_exceptions_exist() -> None:
    assert {name_of(path) for path in MODULES} >= WITHOUT_TEST


MARKED_ALONE = "pytest.mark.alone"
WALL_CLOCK = {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "sleep"}
READS_THE_CLOCK = {"tests/waiting.py", "tests/emulator/sdk_next_worker.py"}
"""The one place where tests wait for real, and a worker process that can import nothing of ours."""


def read_names(tree: ast.AST, module: str) -> set[str]:
    """The names of a standard module that are used, however it is imported."""
    attributes = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == module
    }
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == module
        for alias in node.names
    }
    return attributes | imported


def test_tests_read_no_wall_clock() -> None:
    """What depends on the machine's time fails on a busy machine.

    Wait with `tests.waiting`, or let the time be virtual (`tests.virtual_time`). Tests marked `alone` may measure.
    """
    texts = {name_of(path): path.read_text() for path in (ROOT / "tests").rglob("*.py")}
    assert [
        name
        for name, text in sorted(texts.items())
        if name not in READS_THE_CLOCK and MARKED_ALONE not in text
        if read_names(ast.parse(text), "time") & WALL_CLOCK
    ] == []


def test_tests_that_measure_alone_are_where_the_makefile_looks_for_them() -> None:
    tests = set((ROOT / "tests").rglob("test_*.py")) - {pathlib.Path(__file__)}
    assert {name_of(path.parent) for path in tests if MARKED_ALONE in path.read_text()} == {"tests/e2e"}
    assert "-m alone tests/e2e\n" in (ROOT / "Makefile").read_text()


PLANTED = {
    "fairshare reads the clock": ("fairshare/pacer.py", "import time\n"),
    "translate imports exchange": ("translate/usage.py", "import gateway.exchange.record\n"),
    "exchange reads the configuration": ("exchange/record.py", "import gateway.config.schema\n"),
    "api speaks httpx": ("api/body.py", "import httpx\n"),
    "exchange makes spans": ("exchange/record.py", "import opentelemetry.trace\n"),
    "upstream logs": ("upstream/client.py", "import structlog\n"),
    "a module without a layer": ("helpers.py", ""),
    "the emulator knows the gateway": ("emulator/jobs.py", "import gateway.domain\n"),
}


@pytest.mark.parametrize("plant", PLANTED)
@pytest.mark.server
def test_a_planted_violation_fails_the_contracts(plant: str, tmp_path: pathlib.Path) -> None:
    shutil.copytree(ROOT / "gateway", tmp_path / "gateway", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    file, line = PLANTED[plant]
    planted = tmp_path / "gateway" / file
    text = planted.read_text() if planted.exists() else '"""Planted."""\n'
    planted.write_text(text + line)
    lint = pathlib.Path(sys.executable).parent / "lint-imports"
    done = subprocess.run(
        [lint, "--no-cache"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PYTHONPATH": "."},
    )
    assert done.returncode != 0
    assert "broken" in done.stdout or "Missing layer" in done.stdout, done.stdout + done.stderr
