"""Files that are written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from whole_file import whole_file


@pytest.mark.parametrize("name", ["a.png", 246 * "x" + ".png", 83 * "€" + ".png"])
def test_a_name_may_be_as_long_as_the_system_takes_it(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("before")
    with whole_file(path) as beside:
        assert (beside.parent, beside.suffix) == (tmp_path, ".png")
        beside.write_text("after")
        assert path.read_text() == "before"
    assert [(found, found.read_text()) for found in tmp_path.iterdir()] == [(path, "after")]


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_text("before")

    def write_half() -> None:
        with whole_file(path) as beside:
            beside.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert [(found, found.read_text()) for found in tmp_path.iterdir()] == [(path, "before")]
