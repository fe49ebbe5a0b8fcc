import os
import pathlib
import stat
import tempfile

import pytest

from gateway.commands import generated_key as kept_key
from gateway.commands.generated_key import KeptKey, is_told, keep_key
from gateway.config.keys import new_key

FIRST, SECOND = new_key(), new_key()


@pytest.fixture
def state(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment in which every place is below the test's own folder."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    return {"XDG_STATE_HOME": str(tmp_path / "state"), "HOME": str(tmp_path / "home")}


def mode(path: pathlib.Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_it_is_kept_in_a_file_for_its_owner_alone(state: dict[str, str]) -> None:
    kept = keep_key(FIRST, state)
    assert kept == KeptKey(FIRST, pathlib.Path(state["XDG_STATE_HOME"]) / "fairpod" / "client-key")
    assert kept.path.read_text() == f"{FIRST}\n"
    assert (mode(kept.path), mode(kept.path.parent)) == (0o600, 0o700)


def test_it_is_the_same_after_a_restart(state: dict[str, str]) -> None:
    assert keep_key(FIRST, state) == keep_key(SECOND, state)


def test_without_a_folder_for_state_it_goes_to_the_home_and_then_to_a_folder_of_its_own(state: dict[str, str]) -> None:
    home = keep_key(FIRST, {"HOME": state["HOME"]})
    assert home is not None
    assert home.path == pathlib.Path(state["HOME"]) / ".local/state/fairpod/client-key"
    temporary = keep_key(FIRST, {})
    assert temporary is not None
    assert temporary.path.parent == pathlib.Path(tempfile.gettempdir()) / f"fairpod-{os.geteuid()}"


@pytest.mark.parametrize("content", ["", "x", "fp-short", "fp-" + "x" * 40 + " and more"])
def test_a_file_that_holds_no_key_gets_one(state: dict[str, str], content: str) -> None:
    kept = keep_key(FIRST, state)
    assert kept is not None
    kept.path.write_text(content * 3)
    assert keep_key(SECOND, state) == KeptKey(SECOND, kept.path)
    assert kept.path.read_text() == f"{SECOND}\n"


@pytest.mark.parametrize("rights", [0o644, 0o640, 0o602])
def test_a_file_that_others_may_read_or_write_is_left_alone(state: dict[str, str], rights: int) -> None:
    kept = keep_key(FIRST, state)
    assert kept is not None
    kept.path.chmod(rights)
    other = keep_key(SECOND, state)
    assert other is not None
    assert other.path != kept.path


@pytest.mark.usefixtures("state")
def test_a_folder_that_others_may_write_to_is_left_alone() -> None:
    folder = pathlib.Path(tempfile.gettempdir()) / f"fairpod-{os.geteuid()}"
    folder.mkdir()
    folder.chmod(0o777)
    assert keep_key(FIRST, {}) is None


@pytest.mark.usefixtures("state")
def test_a_link_is_not_followed(tmp_path: pathlib.Path) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    folder = pathlib.Path(tempfile.gettempdir()) / f"fairpod-{os.geteuid()}"
    folder.mkdir(mode=0o700)
    (folder / kept_key.NAME).symlink_to(target)
    assert keep_key(FIRST, {}) is None
    assert target.read_text() == "precious"


@pytest.mark.usefixtures("state")
def test_where_nothing_can_be_written_there_is_none(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    here = str(tmp_path / "file")
    tempfile.tempdir = here
    assert keep_key(FIRST, {"XDG_STATE_HOME": here, "HOME": here}) is None


def test_it_is_told_to_a_person_at_a_terminal_and_never_in_a_container(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / ".dockerenv"
    monkeypatch.setattr(kept_key, "_CONTAINER_MARKS", (mark,))
    assert is_told(is_terminal=True, environment={}, process=77)
    assert not is_told(is_terminal=False, environment={}, process=77)
    assert not is_told(is_terminal=True, environment={}, process=1)
    assert not is_told(is_terminal=True, environment={"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, process=77)
    mark.write_text("")
    assert not is_told(is_terminal=True, environment={}, process=77)
