"""`python -m grafana`: write every dashboard to grafana/dashboards/, and what the chart ships of this folder.

Twice in a row gives the same bytes.
"""

import shutil
import sys
from pathlib import Path

from grafana.boards import Board, build, encode
from grafana.cost import COST
from grafana.endpoints import ENDPOINTS
from grafana.fair_share import FAIR_SHARE
from grafana.overview import OVERVIEW

BOARDS = (OVERVIEW, FAIR_SHARE, ENDPOINTS, COST)
HERE = Path(__file__).parent
FOLDER = HERE / "dashboards"
ALERTS = HERE / "alerts.yaml"
CHART_FILES = HERE.parent / "helm" / "fairpod" / "files"
"""A chart can only ship what lies in it."""


def file_name(board: Board) -> str:
    """Where a dashboard is kept, in its folder."""
    return f"{board.uid}.json"


def main(folder: Path = FOLDER, chart_files: Path = CHART_FILES) -> int:
    """Write them all."""
    for each in (folder, chart_files / "dashboards"):
        each.mkdir(parents=True, exist_ok=True)
        for board in BOARDS:
            path = each / file_name(board)
            path.write_bytes(encode(build(board)))
            sys.stdout.write(f"{path}\n")
    shutil.copyfile(ALERTS, chart_files / ALERTS.name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
