"""Scenes with drawn labels become one image for each place."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely

from landmap.errors import LandmapError
from landmap.scene.labelled_places import open_labelled_places, parts_by_place, places_apart, usual_bands

BANDS = ("B04", "B03", "B02")
SHAPE = 330, 410
TAGS = {"BOA_ADD_OFFSET": "-1000", "PROCESSING_LEVEL": "Level-2A"}


@pytest.fixture
def scene(write_scene: Callable[..., Path], ordinary: Callable[..., Any]) -> Path:
    """An L2A scene with an offset of -1000 DN, and no data in its first 20 rows."""
    values = ordinary(*SHAPE) + 1000
    values[:, :20] = 0
    return write_scene(values, nodata=0, tags=TAGS)


@pytest.fixture
def draw(tmp_path: Path, scene: Path) -> Callable[..., Path]:
    """A function that writes rectangles `(class, row, col, height, width)` in pixels of the scene as polygons."""

    def write(rows: list[tuple[str, float, float, float, float]], **columns: Any) -> Path:
        with rasterio.open(scene) as file:
            transform, crs = file.transform, file.crs
        shapes = [
            shapely.Polygon([transform @ at for at in ((c, r), (c + w, r), (c + w, r + h), (c, r + h))])
            for _, r, c, h, w in rows
        ]
        frame = geopandas.GeoDataFrame({"class": [row[0] for row in rows], **columns}, geometry=shapes, crs=crs)
        frame.to_file(tmp_path / "drawn.gpkg")
        return tmp_path / "drawn.gpkg"

    return write


SIX = [(name, row, col, 10.0, 12.0) for name, row in (("wood", 60.0), ("lake", 160.0)) for col in (30.0, 150.0, 300.0)]


def test_pixels_have_the_class_of_the_polygon_that_holds_their_centre(scene: Path, draw: Callable[..., Path]) -> None:
    rows = [*SIX[:-1], ("lake", 159.6, 300.4, 10.0, 12.2)]
    images, level = open_labelled_places([scene], draw(rows), BANDS, 32, 8)
    assert (level, images.class_names, len(images)) == ("L2A", ("lake", "wood"), 6)
    with rasterio.open(scene) as file:
        numbers = file.read().astype(float)
    expected = np.zeros((*SHAPE, 2), bool)
    for name, row, col, height, width in rows:
        rr, cc = np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5
        inside = (rr > row) & (rr < row + height) & (cc > col) & (cc < col + width)
        expected[inside, int(name == "wood")] = True
    found = np.zeros((*SHAPE, 2), bool)
    for place, name in enumerate(images.files):
        window = images.source.windows[name]  # type: ignore[attr-defined]
        assert window.row_off % 8 == window.col_off % 8 == 0
        values, labels = images.read(place)
        here = np.s_[window.row_off : window.row_off + window.height, window.col_off : window.col_off + window.width]
        found[here] |= labels > 0
        known = labels.any(axis=-1)
        true = (numbers[:, *here].transpose(1, 2, 0) - 1000) / 10_000
        np.testing.assert_allclose(values[known], true[known], atol=1e-6)
        first_row, first_col = (axis.min() for axis in np.nonzero(known))
        assert first_row >= 32 or not window.row_off
        assert first_col >= 32 or not window.col_off
    np.testing.assert_array_equal(found, expected)


def test_places_lie_apart(draw: Callable[..., Path]) -> None:
    """Brute force: labels of two places are at least as far apart as asked for, and labels of one are linked."""
    rng = np.random.default_rng(1)
    shapes = np.array([shapely.box(x, y, x + 20, y + 20) for x, y in rng.random((40, 2)) * 900], object)
    places = places_apart(shapes, 80)
    assert len(set(places.tolist())) > 3
    for (one, a), (other, b) in itertools.combinations(zip(places, shapes, strict=True), 2):
        assert one == other or shapely.distance(a, b) >= 78  # corners of a circle of 16 sides are cut
    for place in set(places.tolist()):
        own = shapes[places == place]
        linked, rest = [own[0]], list(own[1:])
        while near := [s for s in rest if min(shapely.distance(s, t) for t in linked) <= 80]:
            linked += near
            rest = [s for s in rest if not any(s is t for t in near)]
        assert not rest


def test_what_the_scene_does_not_show_is_listed(scene: Path, draw: Callable[..., Path]) -> None:
    rows = [
        *SIX,
        ("wood", -50.0, 30.0, 10.0, 10.0),
        ("wood", 2.0, 200.0, 10.0, 10.0),
        ("lake", 200.6, 250.0, 0.3, 40.0),
        ("wood", 10.0, 300.0, 20.0, 10.0),
        ("lake", -6.0, -6.0, 30.0, 8.0),  # at the scene's corner, of which four rows and two columns have data
    ]
    images, _ = open_labelled_places([scene], draw(rows, id=range(101, 112)), BANDS, 32, 8)
    texts = [text for text in images.notes if text.startswith("Left out")]
    assert texts == [
        "Left out, outside the scene: 107",
        "Left out, no data there, or clouds: 108",
        "Left out, too small or thin: the centre of no pixel lies inside: 109",
    ]
    assert images.pixel_counts().tolist() == [360 + 8, 360 + 100], "those at the edge have data in part"


def test_labels_that_lie_together_are_places_of_less_distance_and_a_note_says_so(
    scene: Path, draw: Callable[..., Path]
) -> None:
    near = [(name, row, col, 6.0, 6.0) for name, row in (("wood", 60.0), ("lake", 80.0)) for col in (30.0, 50.0, 70.0)]
    images, _ = open_labelled_places([scene], draw(near), BANDS, 32, 8)
    assert len({name.split("-")[1] for name in images.files}) == 6
    assert any("parts are only 8 px apart" in text for text in images.notes)


def test_a_place_is_one_place_on_two_dates(
    scene: Path, write_scene: Callable[..., Path], ordinary: Callable[..., Any], draw: Callable[..., Path]
) -> None:
    second = write_scene(ordinary(*SHAPE, seed=2) + 1000, "later.tif", nodata=0, tags=TAGS)
    date = ["later"] + [""] * 11
    rows = [*SIX, *[(name, row + 100 * (name == "lake"), col + 50, h, w) for name, row, col, h, w in SIX]]
    images, _ = open_labelled_places([scene, second], draw(rows, date=date), BANDS, 8, 8, scene_column="date")
    assert len(images) == 12 + 11
    parts = parts_by_place(images, 1, 0.25, 0.25).parts
    assert parts is not None
    by_place: dict[str, set[str]] = {}
    for name, part in zip(images.files, parts, strict=True):
        by_place.setdefault(name.split("-")[1], set()).add(part)
    assert all(len(kinds) == 1 for kinds in by_place.values())
    assert set(parts) == {"train", "validation", "test"}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(n, r - 1000, c, h, w) for n, r, c, h, w in SIX], "all of which lie outside scene.tif"),
        (SIX[:3], "expected labels of two classes or more. Received: wood"),
        (SIX[:4], "expected two labels of each class or more.*Received: 1 of lake"),
    ],
)
def test_too_few_labels_are_refused(scene: Path, draw: Callable[..., Path], rows: list[Any], message: str) -> None:
    with pytest.raises(LandmapError, match=message):
        open_labelled_places([scene], draw(rows), BANDS, 32, 8)


def test_bands_are_those_of_the_packaged_network_that_all_scenes_have(
    scene: Path, write_scene: Callable[..., Path], ordinary: Callable[..., Any]
) -> None:
    four = np.concatenate([ordinary(*SHAPE), ordinary(*SHAPE, seed=3)[:1] * 3]) + 1000
    nir = write_scene(four, "nir.tif", nodata=0, bands=("B04", "B03", "B02", "B08"), tags=TAGS)
    assert usual_bands([nir]) == ("B02", "B03", "B04", "B08")
    assert usual_bands([nir, scene]) == ("B02", "B03", "B04")
