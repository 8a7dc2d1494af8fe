"""Files and folders appear whole or not at all, and outputs are never inputs."""

from __future__ import annotations

from pathlib import Path

import pytest

from landmap_models.publish import first_same, published, put_in_place


def test_a_file_appears_at_the_end_and_keeps_its_ending(tmp_path: Path) -> None:
    with published(tmp_path / "m.weights.h5") as temporary:
        temporary.write_text("new")
        assert temporary.name.endswith(".weights.h5")
        assert not (tmp_path / "m.weights.h5").exists()
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("m.weights.h5", "new")]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_an_error_keeps_what_was_there(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "out"

    def write(place: Path, text: str) -> Path:
        held = place / "held" if kind == "folder" else place
        held.parent.mkdir(exist_ok=True)
        held.write_text(text)
        return held

    def fail() -> None:
        with published(path) as temporary:
            write(temporary, "half")
            raise OSError("full")

    held = write(path, "old")
    with pytest.raises(OSError, match="full"):
        fail()
    assert held.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_folder_replaces_a_folder_that_comes_back_where_that_fails(tmp_path: Path) -> None:
    old = tmp_path / "report"
    old.mkdir()
    (old / "old.txt").write_text("old")
    with pytest.raises(OSError, match="No such file"):
        put_in_place(tmp_path / "nothing", old)
    assert (old / "old.txt").read_text() == "old"
    with published(old) as new:
        new.mkdir()
        (new / "new.txt").write_text("new")
    assert [p.name for p in old.iterdir()] == ["new.txt"]
    assert [p.name for p in tmp_path.iterdir()] == ["report"]


def test_an_output_that_is_an_input_is_found_by_any_name(tmp_path: Path) -> None:
    scene, link = tmp_path / "scene.tif", tmp_path / "link.tif"
    scene.write_text("pixels")
    link.symlink_to(scene)
    (tmp_path / "other.tif").write_text("pixels")
    assert first_same([tmp_path / "new.tif", link], [scene]) == link
    assert first_same([tmp_path / "other.tif", tmp_path / "new.tif"], [scene, "https://host/scene.tif", "a\0b"]) is None
