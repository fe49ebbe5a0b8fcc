"""How an emulator behaves: one frozen struct, every field with the value of the real service as its default."""

from enum import StrEnum
from typing import Literal

import msgspec

from gateway.emulator.faults import Faults
from gateway.emulator.limits import Limit
from gateway.emulator.workforce import IdleShown

MEBIBYTE = 1024 * 1024


class Dialect(StrEnum):
    """How the scripted worker takes requests and yields outputs."""

    VLLM = "vllm"
    """worker-vllm 2.24 and newer: the text of the event stream, cut anywhere."""
    VLLM_BATCHED = "vllm-batched"
    """worker-vllm 0.3 to 2.23: strings of several whole events."""
    VLLM_DICTS = "vllm-dicts"
    """The same with RAW_OPENAI_OUTPUT=0: lists of chunk objects, without [DONE]."""
    SGLANG = "sglang"
    """worker-sglang: pretty-printed events over several data lines, all at the end; whole answers as JSON text."""
    TOKENS = "tokens"
    """worker-vllm 0.2 to 2.23 on its raw route: batches of tokens, `usage.output` cumulative."""
    LEGACY = "legacy"
    """The worker of 2023 that the older documentation shows: `text`, `input_tokens`, `output_tokens`, metrics."""
    TEXT = "text"
    """A handler that yields plain strings, or returns one."""


class EmulatorSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One emulator. Seconds are floats; defaults are Runpod's published or recorded values where there are any."""

    api_key: str = ""
    """The key that calls must carry, as `Bearer KEY` or bare; empty accepts every key and none."""

    worker: Literal["scripted", "none"] = "scripted"
    """`none` leaves the jobs to workers that call the worker API."""
    workers: int = 1
    """Scripted workers of each endpoint."""
    worker_concurrency: int = 30
    """Jobs that one scripted worker runs at once; 30 is worker-vllm's default."""
    standby_workers: int = 2
    """How many workers /health calls idle and ready while nothing runs; each that starts takes the place of one. With 0
    a sleeping worker does not exist, and one that needs no time to start is always up."""
    standby_swings: bool = False
    """Show one standby worker as running every other second. Polls of the live service have it, without any job and
    without a charge: runpod/flash issue 364."""
    prestart_s: float = 0.0
    """How long the prestart hooks of a scripted worker run after each start. It takes jobs meanwhile, so they are
    IN_PROGRESS and it is running, and begins with them afterwards. runpod-python 2.0.0rc2 rp_scale.py."""
    idle_timeout_s: float = 5.0
    """How long a scripted worker stays up without a job, and is billed, before it is a standby worker again. Runpod's
    default."""
    idle_shown: IdleShown = "swinging"
    """What /health calls a scripted worker in its idle timeout: `running` (Runpod docs, serverless/pricing, and golden
    path 15: `running: 1` beside `inProgress: 0`), `idle`, or `swinging` between the two every second, beginning with
    running (runpod/flash issue 364)."""
    dialect: Dialect = Dialect.VLLM
    slices: Literal["arbitrary", "events"] = "arbitrary"
    """Dialect `vllm`: cut the event text anywhere, or one event to an output (the fastest)."""
    aggregate: bool = True
    """Whether /status keeps the list of all yields: `return_aggregate_stream` of the worker."""
    models: tuple[str, ...] = ()
    """The model names that are served; another one gets vLLM's 404. Empty serves every name."""
    context_tokens_max: int = 0
    """Longer prompts get vLLM's 400, counted in words; 0 is no limit."""
    token_interval_s: float = 0.0
    """Pause before each token."""
    slow_token_interval_s: float = 0.05
    """The same for messages that say "slowly"."""
    embedding_dimensions: int = 16

    stream_shape: Literal["object", "array"] = "object"
    """`array` is the bare array of an older page of the Runpod docs; it carries no status."""
    page_outputs_max: int = 0
    """Outputs in one /stream reply; 0 is no limit."""
    stream_wait_s: float = 10.0
    """How long an empty /stream is held when `?wait=` is absent."""
    sync_wait_s: float = 90.0
    """The same for /runsync and /status-sync."""
    wait_s_min: float = 1.0
    """`?wait=` below this counts as this. Runpod publishes the range, not what happens outside of it."""
    wait_s_max: float = 300.0
    edge_timeout_s: float = 100.0
    """After this long without a first byte the edge answers HTML 524; the job goes on."""

    run_retention_s: float = 1800.0
    sync_retention_s: float = 60.0
    ttl_s: float = 86_400.0
    """`policy.ttl` where a submission has none."""
    ttl_s_min: float = 10.0
    """Shorter ones count as this."""
    execution_timeout_s: float = 600.0
    """`policy.executionTimeout` where a submission has none."""
    execution_timeout_s_min: float = 5.0
    retries_max: int = 1
    """How often a job is dispatched again after its worker died, before it is FAILED."""

    run_body_bytes_max: int = 10 * MEBIBYTE
    sync_body_bytes_max: int = 20 * MEBIBYTE
    result_bytes_max: int = 20 * MEBIBYTE
    """A larger job-done gets 400, and the job is COMPLETED without output, as recorded in runpod-python issue 309."""

    limits_enforced: bool = True
    limits: dict[str, Limit] = {}
    """Replacements of the published table, by operation."""
    requests_per_worker: int = 0
    """Runpod's dynamic limit: an operation's calls in 10 s for each running worker. Its real value is not published."""
    queued_jobs_max: int = 0
    """/run answers 429 while this many jobs are queued; 0 is no limit, as since October 2025."""

    take_wait_s: float = 5.0
    """How long job-take is held while the queue is empty."""
    stop_wait_s: float = 20.0
    """How long job-stop is held while nothing is to be stopped."""
    worker_lost_s: float = 30.0
    """A worker of the worker API that is silent for this long is dead; its jobs are dispatched again."""

    jobs_kept_max: int = 50_000
    """Jobs of one endpoint; beyond it the oldest finished ones go early."""
    calls_kept_max: int = 10_000
    endpoints_max: int = 64

    faults: Faults = Faults()
    """The faults at the start and after a reset."""
