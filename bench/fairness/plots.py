"""What the table cannot show: service as it grows, and how waits are spread."""

import pathlib
from collections.abc import Sequence
from typing import BinaryIO

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.fairness.flood import CASES, flood_runs, victims_waits_s
from bench.fairness.machine import Run
from bench.fairness.measures import SPAN_S, percentile, service_between
from bench.fairness.orders import FIFO, ORDER_NAMES, OURS, ROUND_ROBIN, VTC
from bench.fairness.rows_vtc import runs

SHOWN = (FIFO, ROUND_ROBIN, VTC, OURS)
COLOURS = {FIFO: "#888888", ROUND_ROBIN: "#d98c00", VTC: "#3b78c2", "attained only": "#8a5cc2", OURS: "#2a8f4f"}
SERVICE_POINTS = 24
PERCENTS = (0, 1, 2, 5, *range(10, 95, 5), 95, 97, 98, 99, 99.5, 99.9, 100)
WAIT_S_MIN = 0.001
"""Shorter waits are drawn as this one: a logarithm has no zero."""


def draw_all(folder: pathlib.Path) -> list[pathlib.Path]:
    """Every plot, as SVG that is the same each time."""
    figures = {
        "fairness-service-overload": service_over_time("overload", "two clients that both want more than their half"),
        "fairness-service-real": service_over_time("real", "27 clients of a public chat service"),
        "fairness-waits": waits(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, figure in figures.items():
        path = folder / f"{name}.svg"
        with path.open("wb") as file:
            save(figure, file)
        paths.append(path)
    return paths


def save(figure: Figure, file: BinaryIO) -> None:
    """As SVG without anything that is different each time."""
    with mpl.rc_context({"svg.hashsalt": "fairness", "svg.fonttype": "none"}):
        figure.savefig(file, format="svg", metadata={"Date": None})


def service_over_time(name: str, title: str) -> Figure:
    """What each client was served so far, under each order."""
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    figure.suptitle(f"Service so far, token cost in thousands: {title}", fontsize=10)
    panels: Sequence[Axes] = figure.subplots(1, len(SHOWN), sharey=True).tolist()
    for panel, order in zip(panels, SHOWN, strict=True):
        run = runs(name)[order]
        points_s = [SPAN_S * point / SERVICE_POINTS for point in range(SERVICE_POINTS + 1)]
        for tenant, served in _accumulated(run, points_s).items():
            panel.plot(points_s, served, linewidth=1, label=f"client {tenant}")
        panel.set_title(order, fontsize=9)
        panel.set_xlabel("s", fontsize=8)
        panel.tick_params(labelsize=8)
        panel.grid(visible=True, linewidth=0.3)
        if len(run.tenants) <= 8:
            panel.legend(fontsize=7)
    return figure


def _accumulated(run: Run, points_s: Sequence[float]) -> dict[str, list[float]]:
    totals = [service_between(run.starts, 0.0, at_s) for at_s in points_s]
    return {tenant: [total[tenant] / 1000 for total in totals] for tenant in run.tenants}


def waits() -> Figure:
    """How many of the polite tenants' requests waited how long beside a flood."""
    figure = Figure(figsize=(11, 6), layout="constrained")
    figure.suptitle("Wait of polite tenants beside a flood: per cent of requests by seconds", fontsize=10)
    panels: Sequence[Axes] = figure.subplots(2, 3).ravel().tolist()
    for panel, name in zip(panels, CASES, strict=False):
        for order in ORDER_NAMES:
            waits_s = [wait_s for run in flood_runs(name)[order] for wait_s in victims_waits_s(name, run)]
            ranks = [max(WAIT_S_MIN, percentile(waits_s, percent)) for percent in PERCENTS]
            style = "--" if order == "attained only" else "-"
            panel.plot(ranks, PERCENTS, style, linewidth=1.2, color=COLOURS[order], label=order)
        panel.set_xscale("log")
        panel.minorticks_off()
        panel.set_title(f"{name}, {CASES[name].seats} seats", fontsize=9)
        panel.tick_params(labelsize=8)
        panel.grid(visible=True, linewidth=0.3)
    panels[0].legend(fontsize=7)
    for unused in panels[len(CASES) :]:
        unused.set_axis_off()
    return figure
