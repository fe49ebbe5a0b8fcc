"""Run workers without a process: they take jobs from the endpoint as remote ones do, and answer by the script."""

import anyio
import anyio.lowlevel

from gateway.emulator.endpoint import Endpoint
from gateway.emulator.job import Job
from gateway.emulator.script.failures import cut_short
from gateway.emulator.script.play import Play, play
from gateway.emulator.worker_pool import Worker

OUTPUTS_AT_ONCE_MAX = 16
"""Number of outputs after which an answer without pauses lets other tasks run."""
_METRICS = b'"metrics":{"avg_gen_throughput":0,"avg_prompt_throughput":0,"num_running":1,"num_waiting":0},'


async def scripted_staff(endpoint: Endpoint) -> None:
    """Run all scripted workers of an endpoint until cancelled."""
    async with anyio.create_task_group() as group:
        for number in range(endpoint.settings.workers):
            group.start_soon(ScriptedWorker(endpoint, f"scripted-{number}").run)


async def no_staff(endpoint: Endpoint) -> None:
    """Run no worker: leave the endpoint to remote workers."""


class ScriptedWorker:
    """Run one worker with a fixed number of concurrent jobs."""

    def __init__(self, endpoint: Endpoint, worker_id: str) -> None:
        self._endpoint = endpoint
        self._id = worker_id
        self._worker = Worker(id=worker_id, kind="scripted", condition="asleep", seen_s=endpoint.now_s)
        self._cold_start_s = -1.0
        self._ready_s = endpoint.now_s
        """Time at which its prestart hooks finish."""
        self._hook_error = ""
        """Error of its failed prestart hooks: it takes no more jobs, and exits when it has none."""
        self._places = anyio.Semaphore(endpoint.settings.worker_concurrency)
        self._scopes: dict[str, anyio.CancelScope] = {}
        endpoint.workforce.add(self._worker, endpoint.now_s)
        self._follow_faults()

    async def run(self) -> None:
        """Take and perform jobs until cancelled."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._watch_stops)
            while True:
                await self._places.acquire()
                job = await self._next_job()
                group.start_soon(self._perform, job)

    async def _next_job(self) -> Job:
        while True:
            self._follow_faults()
            if self._endpoint.needs(self._worker):
                await self._start()
            job = self._endpoint.take(self._id) if not self._hook_error else None
            if job is not None:
                return job
            await self._endpoint.work()

    def _follow_faults(self) -> None:
        """Apply a changed cold start: an idle worker goes to sleep, so that the next job sees the new start time."""
        endpoint, cold_start_s = self._endpoint, self._endpoint.plan.faults.cold_start_s
        if cold_start_s == self._cold_start_s:
            return
        self._cold_start_s = cold_start_s
        settings = endpoint.settings
        self._worker.sleeps = bool(cold_start_s or settings.prestart_s or settings.standby_workers)
        if not self._worker.sleeps:
            endpoint.change_worker(self._worker, "up")
        elif not endpoint.worker_time.jobs_count(self._id):
            endpoint.change_worker(self._worker, "asleep")

    async def _start(self) -> None:
        """Start with the first job that fits no other worker, as a worker of an endpoint that scales to zero."""
        if self._cold_start_s:
            self._endpoint.change_worker(self._worker, "starting")
            await anyio.sleep(self._cold_start_s)
        self._ready_s = self._endpoint.now_s + self._endpoint.settings.prestart_s
        self._endpoint.change_worker(self._worker, "up")

    async def _load(self) -> bool:
        """Wait for the prestart hooks. Return True if they were still running."""
        left_s = self._ready_s - self._endpoint.now_s
        if left_s > 0:
            await anyio.sleep(left_s)
        return left_s > 0

    async def _watch_stops(self) -> None:
        while True:
            for job_id in self._endpoint.take_stops(self._id):
                scope = self._scopes.get(job_id)
                if scope is not None:
                    scope.cancel()
            await self._endpoint.stop_signal(self._id)

    async def _perform(self, job: Job) -> None:
        try:
            with anyio.CancelScope() as scope:
                self._scopes[job.id] = scope
                await self._answer(job)
        finally:
            del self._scopes[job.id]
            self._places.release()
            if self._hook_error and not self._scopes:
                self._hook_error = ""
                self._endpoint.change_worker(self._worker, "asleep")

    async def _answer(self, job: Job) -> None:
        endpoint = self._endpoint
        is_new = await self._load()
        if is_new and self._hook_error:
            if endpoint.holds(job, self._id):
                endpoint.fail(job, self._hook_error)
            return
        unix_s = endpoint.clock.unix_s()
        # A model server creates an answer id for each request, so a second dispatch has another id.
        answer_id = f"{job.id}-{job.dispatches}"
        chosen = play(job.input, answer_id, endpoint.settings, plan=endpoint.plan, unix_s=unix_s)
        if is_new and chosen.ends_prestart:
            self._hook_error = chosen.error
        outputs = await self._yield_outputs(job, chosen)
        if outputs is None or not endpoint.holds(job, self._id):
            return
        if chosen.error:
            endpoint.fail(job, chosen.error)
        elif chosen.is_mute:
            endpoint.complete(job, b"")
        elif chosen.result is not None:
            endpoint.complete(job, chosen.result)
        else:
            # A generator without return_aggregate_stream leaves an empty list: runpod-python 1.12 rp_job.py.
            endpoint.complete(job, b"[%b]" % b",".join(outputs) if endpoint.settings.aggregate else b"[]")

    async def _yield_outputs(self, job: Job, chosen: Play) -> list[bytes] | None:
        """Yield all outputs at their pace and return them; None if the worker died."""
        endpoint = self._endpoint
        faults = endpoint.plan.faults
        deaths = faults.worker_deaths if chosen.deaths is None else chosen.deaths
        dies_after = faults.death_after_outputs if job.dispatches <= deaths else None
        outputs: list[bytes] = []
        for step in chosen.steps if dies_after is None else cut_short(chosen.steps, dies_after):
            if chosen.interval_s:
                await anyio.sleep(chosen.interval_s)
            for output in step:
                outputs.append(output)
                if not chosen.is_mute and endpoint.holds(job, self._id):
                    endpoint.add_item(job, b'{%b"output":%b}' % (_METRICS if chosen.has_metrics else b"", output))
                if len(outputs) % OUTPUTS_AT_ONCE_MAX == 0:
                    await anyio.lowlevel.checkpoint()
        if dies_after is None:
            return outputs
        # Only this job is affected; a real worker's death affects all of its jobs.
        await anyio.sleep(faults.redispatch_delay_s)
        if endpoint.holds(job, self._id):
            endpoint.lose_worker(job)
        return None
