"""CPU time of the gateways side by side, on a logarithmic scale."""

import pathlib
from collections.abc import Sequence

from matplotlib.figure import Figure

from bench.fairness.plots import save
from bench.speed.peers import ENVOY, LITELLM, NGINX, OURS
from bench.speed.readings import Readings, Subject
from bench.speed.workloads_relay import CLIENTS, CPU_CHUNK, CPU_REQUEST, clients_name

COLOURS = {OURS: "#2a8f4f", LITELLM: "#d98c00", ENVOY: "#3b78c2", NGINX: "#888888"}
NAME = "speed-cpu"


def draw(readings: Readings, folder: pathlib.Path) -> pathlib.Path:
    """CPU per request and per chunk, with a whisker from the least to the most of the rounds."""
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    panels = figure.subplots(1, 2).tolist()
    for panel, (workload, measure) in zip(panels, (("relay", CPU_REQUEST), ("stream", CPU_CHUNK)), strict=True):
        spreads = {
            peer: spread
            for peer in COLOURS
            if (spread := readings.of(Subject(workload, clients_name(CLIENTS), peer), measure)).values
        }
        medians = [spread.median for spread in spreads.values()]
        whiskers: Sequence[Sequence[float]] = (
            [spread.median - min(spread.values) for spread in spreads.values()],
            [max(spread.values) - spread.median for spread in spreads.values()],
        )
        bars = panel.bar(list(spreads), medians, yerr=whiskers, capsize=3, color=[COLOURS[peer] for peer in spreads])
        panel.bar_label(bars, [f"{median:,.0f}" for median in medians], fontsize=8, padding=2)
        panel.set_yscale("log")
        panel.margins(y=0.2)
        panel.set_title(measure, fontsize=9)
        panel.tick_params(labelsize=8)
    path = folder / f"{NAME}.svg"
    with path.open("wb") as file:
        save(figure, file)
    return path
