"""Which Python the image has, and so which one the tests run on once more."""

import pytest

from scripts.next_python import FOLDERS, ROOT, image_version


def test_the_version_is_the_image_s() -> None:
    assert image_version("# FROM python:2.7\nFROM python:3.13-slim AS build\nRUN x\nFROM python:3.13-slim\n") == "3.13"
    assert image_version((ROOT / "Dockerfile").read_text()) > "3.11"


@pytest.mark.parametrize("dockerfile", ["FROM debian\n", "FROM python:3.13\nFROM python:3.12\n"])
def test_a_file_with_none_or_several_is_an_error(dockerfile: str) -> None:
    with pytest.raises(ValueError, match="unpack"):
        image_version(dockerfile)


def test_the_folders_exist() -> None:
    assert all((ROOT / "tests" / folder).is_dir() for folder in FOLDERS)
