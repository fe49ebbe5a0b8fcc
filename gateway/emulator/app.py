"""Build the emulator's ASGI application."""

from typing import Any

from litestar import Litestar, asgi
from litestar.types import Receive, Scope, Send

from gateway.clock import Clock, SystemClock
from gateway.emulator import job_api, openai_api, worker_api
from gateway.emulator.admin_api import admin_router
from gateway.emulator.calls import CallLog
from gateway.emulator.dispatch import Dispatch
from gateway.emulator.endpoints import Endpoints
from gateway.emulator.scripted_worker import no_staff, scripted_staff
from gateway.emulator.settings import EmulatorSettings

DEFAULTS = EmulatorSettings()


def build_emulator(settings: EmulatorSettings = DEFAULTS, *, clock: Clock | None = None) -> Litestar:
    """Build an emulated Runpod: /v2 takes any endpoint id, with these settings. Its workers run during its lifespan."""
    staff = scripted_staff if settings.worker == "scripted" else no_staff
    endpoints = Endpoints(settings, clock=clock or SystemClock(), staff=staff)
    calls = CallLog(settings.calls_kept_max)
    dispatch = Dispatch(endpoints, job_api.ROUTES | openai_api.ROUTES | worker_api.ROUTES, calls=calls)

    @asgi("/v2", is_mount=True, copy_scope=False)
    async def runpod(scope: Scope, receive: Receive, send: Send) -> None:
        await dispatch(scope, receive, send)

    handlers: list[Any] = [runpod, admin_router(endpoints, calls)]
    return Litestar(handlers, lifespan=[endpoints], openapi_config=None, logging_config=None)
