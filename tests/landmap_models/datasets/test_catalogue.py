"""How data sets are labelled: class folders, tables, annotations, and what is refused in each."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from landmap_models.datasets.catalogue import find_catalogue
from landmap_models.datasets.chips import open_chips
from landmap_models.datasets.files import read_file
from landmap_models.errors import DatasetError


def draw(root: Path, *names: str) -> Path:
    """Chips of 8x8 px, each of another grey."""
    for i, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), 10 + i, np.uint8)).save(path)
    return root


# Folders.


def test_folders_name_classes(tmp_path: Path) -> None:
    draw(tmp_path, "x/b/2.png", "x/b/1.JPG", "a/3.jpeg")
    (tmp_path / "a/notes.txt").touch()
    draw(tmp_path, "a/.hidden.png", "__MACOSX/a/1.png")
    found = find_catalogue(tmp_path)
    assert found.files == ("a/3.jpeg", "x/b/1.JPG", "x/b/2.png")
    assert found.labels == (("a",), ("b",), ("b",))
    assert (found.parts, found.multi_label, dict(found.problems)) == (None, False, {})


@pytest.mark.parametrize("packed", [False, True])
def test_class_folders_without_chips_are_told(packed: bool, tmp_path: Path) -> None:
    """Empty, or full of pictures that can't be read; what lies beside them and was never a class is let be."""
    root = draw(tmp_path / "data", "x/a/1.png", "x/b/2.png")
    (root / "x/empty").mkdir()
    (root / "x/bitmaps").mkdir()
    (root / "x/bitmaps/1.bmp").touch()
    (root / "x/notes").mkdir()
    (root / "x/notes/readme.txt").touch()
    (root / "elsewhere").mkdir()
    if packed:
        shutil.make_archive(str(tmp_path / "data"), "zip", root)
        root = tmp_path / "data.zip"
    assert set(find_catalogue(root).problems) == {"x/empty", "x/bitmaps"}
    with pytest.raises(DatasetError, match="x/bitmaps: a class folder without JPEG, PNG or GeoTIFF chips"):
        open_chips(root)
    assert open_chips(root, skip_bad=True).class_names == ("a", "b")


@pytest.mark.parametrize("validation", ["validation", "val", "Valid"])
def test_folders_above_classes_divide(validation: str, tmp_path: Path) -> None:
    chips = open_chips(draw(tmp_path, "set/train/a/1.png", f"set/{validation}/b/1.png", "set/test/b/1.png"))
    assert chips.parts is not None
    assert dict(zip(chips.files, chips.parts, strict=True)) == {
        "set/train/a/1.png": "train",
        f"set/{validation}/b/1.png": "validation",
        "set/test/b/1.png": "test",
    }
    assert chips.class_names == ("a", "b")


def test_a_class_may_be_called_test(tmp_path: Path) -> None:
    chips = open_chips(draw(tmp_path, "data/test/1.png", "data/other/1.png"))
    assert chips.class_names == ("other", "test")
    assert chips.parts is None


def test_chips_outside_of_parts_and_classes_are_listed(tmp_path: Path) -> None:
    draw(tmp_path, "train/a/1.png", "test/b/1.png", "extra/b/1.png", "test/2.png", "loose.png")
    with pytest.raises(DatasetError, match=r"3 of 5 files can't be used") as caught:
        open_chips(tmp_path)
    for name in ("loose.png", "test/2.png", "extra/b/1.png"):
        assert f"{name}: expected <part>/<class>/<file> like t" in str(caught.value)
    assert open_chips(tmp_path, skip_bad=True).files == ("test/b/1.png", "train/a/1.png")
    draw(tmp_path / "plain", "a/1.png", "b/1.png", "loose.png")
    with pytest.raises(DatasetError, match=r"1 of 3 files can't be used: loose.png: lies in no class folder"):
        open_chips(tmp_path / "plain")


# Tables.


@pytest.fixture
def table(tmp_path: Path) -> Path:
    draw(tmp_path, "images/1.png", "images/2.png", "images/3.png")
    return tmp_path / "labels.csv"


def test_a_table_labels_chips(table: Path) -> None:
    table.write_text("\ufefffile, label ,author\nimages/2.png,b,me\n./images/1.png, a ,me\nimages/3.png,b,me\n")
    chips = open_chips(table)
    assert chips.files == ("images/1.png", "images/2.png", "images/3.png")
    assert chips.labels == (0, 1, 1)
    assert (chips.class_names, chips.multi_label, chips.parts) == (("a", "b"), False, None)
    assert (chips.reflectance()[:, 0, 0, 0] * (255 / 0.275)).round().tolist() == [10, 11, 12]


def test_a_table_may_give_several_labels_and_parts(table: Path) -> None:
    table.write_text("file,label,split\nimages/1.png,b;a;b,train\nimages/2.png,c,Val\nimages/3.png,b,test\n")
    chips = open_chips(table)
    assert chips.multi_label
    assert chips.labels == ((0, 1), (2,), (1,))
    assert chips.parts == ("train", "validation", "test")
    assert chips.counts() == {"a": 1, "b": 2, "c": 1}
    assert chips.targets().tolist() == [[1, 1, 0], [0, 0, 1], [0, 1, 0]]


def test_an_empty_column_of_parts_divides_nothing(table: Path) -> None:
    table.write_text("file,label,split\nimages/1.png,a,\nimages/2.png,b,\n")
    assert open_chips(table).parts is None


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("images/1.png,", "1 of 3 files can't be used: images/1.png: has no label"),
        ("images/1.png, ; ", "images/1.png: has no label"),
        ("images/1.png", "images/1.png: has no label"),
        ("images/4.png,a", "images/4.png: can't be read .*No such file"),
        ("/images/1.png,a", "/images/1.png: expected a path relative to the CSV file"),
        ("images/1.bmp,a", r"images/1.bmp: expected a name that ends in \.jpeg, \.jpg"),
        ("images/1.png,a\nimages/1.png,b", "images/1.png: is listed twice.*one row"),
    ],
)
def test_rows_that_can_not_be_used_are_listed(rows: str, message: str, table: Path) -> None:
    table.write_text(f"file,label\n{rows}\nimages/2.png,a\nimages/3.png,b\n")
    with pytest.raises(DatasetError, match=message):
        open_chips(table)
    assert open_chips(table, skip_bad=True).files == ("images/2.png", "images/3.png")


def test_a_part_that_is_none_is_listed(table: Path) -> None:
    table.write_text("file,label,split\nimages/1.png,a,train\nimages/2.png,b,holdout\nimages/3.png,b,test\n")
    with pytest.raises(DatasetError, match=r"1 of 3 files.*images/2.png: expected a split out of train, val"):
        open_chips(table)
    assert open_chips(table, skip_bad=True).parts == ("train", "test")


def test_too_few_classes_are_told_with_the_reason(table: Path) -> None:
    table.write_text("file,label\nimages/1.png,a\nimages/2.png,a\nimages/3.png,\n")
    with pytest.raises(
        DatasetError, match=r"two classes.*Received: \('a',\)\. 1 files can't.*images/3.png: has no label"
    ):
        open_chips(table)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"file;label\na;b\n", r"columns file and label.*with commas between\. Received: file;label"),
        (b"", "Received: nothing"),
        (b"file,label\n\xff\xfe,a\n", "not a readable CSV file in UTF-8"),
        (b"file,label\n", r"at least two classes in the column label\. Received: \(\)"),
        (b"file,label\n1.png,a\n2.png,a\n", r"Received: \('a',\)"),
    ],
)
def test_tables_that_are_none_are_refused(content: bytes, message: str, table: Path) -> None:
    table.write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        open_chips(table)


# Pascal VOC.


def annotation(*objects: str) -> str:
    found = "".join(f"<object><name>{o}</name><part><name>no</name></part></object>" for o in objects)
    return f"<annotation><filename>wrong.jpg</filename>{found}</annotation>"


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    root = tmp_path / "VOCdevkit/VOC"
    draw(root, *(f"JPEGImages/{i}.png" for i in range(4)))
    (root / "Annotations").mkdir()
    for i, objects in enumerate((("ship",), ("ship", "car", "ship"), ("car",), ("plane",))):
        (root / f"Annotations/{i}.xml").write_text(annotation(*objects))
    return root


def lists(voc: Path, **content: str) -> None:
    (voc / "ImageSets/Main").mkdir(parents=True)
    for name, text in content.items():
        (voc / f"ImageSets/Main/{name}.txt").write_text(text)


def test_annotations_label_images(voc: Path) -> None:
    chips = open_chips(voc)
    assert chips.files == tuple(f"JPEGImages/{i}.png" for i in range(4))
    assert chips.class_names == ("car", "plane", "ship")
    assert chips.labels == ((2,), (0, 2), (0,), (1,))
    assert (chips.multi_label, chips.parts) == (True, None)


def test_annotations_in_a_folder_above_or_a_zip_file_are_found(voc: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "voc.zip", "w") as archive:
        for path in voc.rglob("*.*"):
            archive.write(path, path.relative_to(voc.parent))
    zipped, above = open_chips(tmp_path / "voc.zip"), open_chips(voc.parent.parent)
    assert zipped.files[0] == "VOC/JPEGImages/0.png"
    assert zipped.labels == above.labels == open_chips(voc).labels
    np.testing.assert_array_equal(zipped.reflectance(), above.reflectance())


def test_image_sets_divide(voc: Path) -> None:
    lists(voc, train="0\n1 1\n\n", val="2\n", test="3", trainval="0\n1\n2")
    assert open_chips(voc).parts == ("train", "train", "validation", "test")


def test_training_and_validation_may_come_as_one(voc: Path) -> None:
    lists(voc, trainval="0\n1\n2", test="3", car_train="0 -1")
    assert open_chips(voc).parts == ("train", "train", "train", "test")


def test_images_in_no_list_are_listed(voc: Path) -> None:
    lists(voc, train="0\n1", test="3")
    with pytest.raises(DatasetError, match=r"1 of 4 files.*2.png: is in no list of ImageSets/Main"):
        open_chips(voc)
    assert open_chips(voc, skip_bad=True).parts == ("train", "train", "test")


def test_images_in_two_lists_are_refused(voc: Path) -> None:
    lists(voc, train="0\n1", test="1\n2\n3")
    with pytest.raises(DatasetError, match=r"test.txt: 1 is also in the train list"):
        open_chips(voc)


BOMB = '<!DOCTYPE a [<!ENTITY b "ship"><!ENTITY c "&b;&b;">]><annotation><object><name>&c;</name></object></annotation>'
OUTSIDE = '<!DOCTYPE a SYSTEM "file:///etc/passwd"><annotation/>'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (BOMB.encode(), "Received: a DOCTYPE"),
        (BOMB.encode("utf-16"), "Received: a DOCTYPE"),
        (OUTSIDE.encode(), "Received: a DOCTYPE"),
        (b"<annotation>", r"Annotations/1.xml is not readable XML"),
        (b"<?xml version='1.0' encoding='x-none'?><a/>", "is not readable XML"),
        (annotation().encode(), r"Annotations/1.xml names no object"),
        (None, r"no usable annotation \(Annotations/1.xml: can't be read"),
    ],
)
def test_annotations_that_can_not_be_used_are_listed(content: bytes | None, message: str, voc: Path) -> None:
    path = voc / "Annotations/1.xml"
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(DatasetError, match=rf"1 of 4 files can't be used: JPEGImages/1.png: .*{message}"):
        open_chips(voc)
    chips = open_chips(voc, skip_bad=True)
    assert len(chips) == 3
    assert [problem.split(":")[0] for problem in chips.skipped] == ["JPEGImages/1.png"]


def test_an_annotation_without_its_image_is_listed(voc: Path) -> None:
    (voc / "JPEGImages/2.png").unlink()
    with pytest.raises(DatasetError, match=r"1 of 4 files.*Annotations/2.xml: there is no such image"):
        open_chips(voc)


def test_two_sets_of_annotations_are_refused(voc: Path) -> None:
    (voc.parent / "VOC2/Annotations").mkdir(parents=True)
    (voc.parent / "VOC2/Annotations/0.xml").write_text(annotation("a"))
    with pytest.raises(DatasetError, match=r"one folder Annotations\. Received: one in each of \['VOC/', 'VOC2/'\]"):
        open_chips(voc.parent)


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"Received: nothing is there"):
        open_chips(tmp_path / "none.csv")
    with pytest.raises(DatasetError, match=r"a/1.png: can't be read"):
        read_file(tmp_path, "a/1.png")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("other", "")
    with pytest.raises(DatasetError, match=r"a/1.png: can't be read"):
        read_file(tmp_path / "a.zip", "a/1.png")
