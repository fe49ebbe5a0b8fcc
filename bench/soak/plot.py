"""Memory over time, beside what was in use."""

import pathlib
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.fairness.plots import save
from bench.soak.run import Soaked


def draw(soaked: Soaked, path: pathlib.Path) -> None:
    """As SVG."""
    figure = Figure(figsize=(9, 5), layout="constrained")
    samples = [soaked.before, *soaked.samples, soaked.after]
    minutes = [each.at_s / 60 for each in samples]
    panels: Sequence[Axes] = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2)).tolist()
    memory, use = panels
    memory.plot(minutes, [each.footprint.rss_mb for each in samples], linewidth=1, label="RSS")
    memory.plot(minutes, [each.footprint.private_mb for each in samples], linewidth=1, label="private")
    memory.set_ylim(bottom=0)
    memory.set_ylabel("MB", fontsize=8)
    use.plot(minutes, [each.held.permits for each in samples], linewidth=0.8, label="permits")
    use.plot(minutes, [each.held.tickets for each in samples], linewidth=0.8, label="tickets")
    use.plot(minutes, [each.footprint.descriptors for each in samples], linewidth=0.8, label="descriptors")
    use.set_xlabel("minutes", fontsize=8)
    for panel in panels:
        panel.tick_params(labelsize=8)
        panel.grid(visible=True, linewidth=0.3)
        panel.legend(fontsize=7, loc="lower right")
    with path.open("wb") as file:
        save(figure, file)
