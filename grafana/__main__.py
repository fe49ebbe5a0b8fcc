"""`python -m grafana`: write every dashboard to grafana/dashboards/. Twice in a row gives the same bytes."""

import sys
from pathlib import Path

from grafana.boards import Board, build, encode
from grafana.cost import COST
from grafana.endpoints import ENDPOINTS
from grafana.fair_share import FAIR_SHARE
from grafana.overview import OVERVIEW

BOARDS = (OVERVIEW, FAIR_SHARE, ENDPOINTS, COST)
FOLDER = Path(__file__).parent / "dashboards"


def file_name(board: Board) -> str:
    """Where a dashboard is kept, in its folder."""
    return f"{board.uid}.json"


def main(folder: Path = FOLDER) -> int:
    """Write them all."""
    folder.mkdir(parents=True, exist_ok=True)
    for board in BOARDS:
        path = folder / file_name(board)
        path.write_bytes(encode(build(board)))
        sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
