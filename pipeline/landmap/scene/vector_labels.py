"""Polygons, lines and points with a class, as drawn in QGIS, checked one by one.

What can't be used is left out, and listed with its id and the reason: nothing is mended in silence.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from landmap.errors import GeoreferenceError, ReferenceDataError
from landmap.io.vectors import read_shapes
from landmap_models.arrays import Bools, Ints

MOST = 5_000
"""Most shapes of a file; more are labels of another kind, for a raster."""
ID_COLUMNS = ("id", "fid", "ogc_fid", "objectid")
"""Titles of columns whose values name features in messages, in small letters."""
OVERLAP = 0.1
"""Share of a polygon that may be another class, too: its pixels there are left out, and not all of it."""
LISTED = 12
"""Most ids in a line of a message."""


@dataclass(frozen=True, slots=True)
class VectorLabels:
    """Shapes of one class each, n of them."""

    path: Path
    """The file; of several, their names with " + " between."""
    shapes: npt.NDArray[Any]
    """Shapely's polygons, lines and points `(n,)`, in `crs`."""
    crs: str
    """Coordinate reference system as WKT."""
    ids: tuple[str, ...]
    """Name of the feature of each shape in messages: that of its column `id`, or its number in the file from 1."""
    classes: Ints
    """Place of the class of each in `class_names`, `(n,)`."""
    class_names: tuple[str, ...]
    """Names of the classes, sorted."""
    scenes: tuple[str, ...]
    """Part of the name of the scenes that each is drawn on, `(n,)`; "" stands for all scenes."""
    unusable: tuple[str, ...] = ()
    """Reasons why features are left out, each with their ids."""

    def __len__(self) -> int:
        return len(self.ids)

    def without(self, wrong: Bools, reason: str) -> VectorLabels:
        """All but some of the shapes, `(n,)`, which are listed as unusable for a reason."""
        if not wrong.any():
            return self
        kept = np.flatnonzero(~wrong)
        text = f"{reason}: {_listed([self.ids[i] for i in np.flatnonzero(wrong)])}"
        return replace(
            self,
            shapes=self.shapes[kept],
            ids=tuple(self.ids[i] for i in kept),
            classes=self.classes[kept],
            scenes=tuple(self.scenes[i] for i in kept),
            unusable=(*self.unusable, text),
        )

    def counts(self) -> dict[str, int]:
        """Number of features of each class that has any, by name; parts of one feature count once."""
        there = {(self.class_names[place], name) for place, name in zip(self.classes, self.ids, strict=True)}
        return dict(sorted(Counter(name for name, _ in there).items()))

    def in_crs(self, crs: str) -> npt.NDArray[Any]:
        """The shapes in another CRS, given as WKT."""
        return _moved(self.shapes, self.crs, crs)


def read_labels(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    column: str = "class",
    *,
    crs: str,
    layer: str | None = None,
    scene_column: str | None = None,
    buffer: float = 0.0,
) -> VectorLabels:
    """Read drawn labels, and leave out those that can't be used whatever the scene is.

    Args:
        paths: Any vector file that GeoPandas reads, of polygons, lines or points, of one part or several, in 2D or 3D;
            or several such files, whose labels count as if they were of one. Ids then begin with the file's name.
        column: Name of the column with the classes.
        crs: CRS as WKT to bring the shapes to, that of the scene, in metres if there is a buffer.
        layer: Name of the layer; None where each file has one.
        scene_column: Name of the column with a part of the name of the scene that a feature is drawn on; None: all
            features are for all scenes.
        buffer: Distance in metres around lines and points that is labelled, too; 0: lines and points are the pixels
            that they meet.

    Raises:
        ReferenceDataError: A file can't be read, has no such column, too many shapes, or nothing that can be used.
        GeoreferenceError: It has no CRS, or none that can be brought to that of the scene.
    """
    files = [Path(path) for path in ([paths] if isinstance(paths, str | os.PathLike) else paths)]
    read = [_of_file(path, column, crs, layer, scene_column) for path in files]
    if len(files) > 1:
        read = [_under_name(drawn, path.name) for drawn, path in zip(read, files, strict=True)]
    path = files[0] if len(files) == 1 else Path(" + ".join(file.name for file in files))
    parts = _one_spelling(_joined(read))
    _check_count(len(parts.ids), path)
    if not parts.ids:
        raise ReferenceDataError(f"{path}: expected labels. Received none that can be used{_because(parts.unusable)}")
    class_names = tuple(sorted(set(parts.names)))
    places = np.array([class_names.index(name) for name in parts.names], np.int64)
    shapes = _buffered(parts.shapes, buffer)
    return VectorLabels(path, shapes, crs, parts.ids, places, class_names, parts.scenes, tuple(parts.unusable))


def _of_file(path: Path, column: str, crs: str, layer: str | None, scene_column: str | None) -> _Drawn:
    """The parts of the features of a file that have a geometry and a class, in a CRS."""
    kinds = ("Polygon", "LineString", "Point")
    frame = read_shapes(path, layer, option="--labels-layer", kinds=kinds, error=ReferenceDataError)
    if frame.crs is None:
        raise GeoreferenceError(f"{path}: expected a coordinate reference system (CRS), found none: give it one")
    _check_count(len(frame), path)
    names = frame[_column(frame, column, path)].map(_text)
    scenes = (
        frame[_column(frame, scene_column, path, "--scene-column")].map(_text) if scene_column else [""] * len(frame)
    )
    titles = {str(title).casefold(): title for title in frame.columns}
    known = next((titles[name] for name in ID_COLUMNS if name in titles), None)
    ids = frame[known].map(_text) if known is not None else map(str, range(1, len(frame) + 1))
    shapes = np.asarray(frame.geometry, object)
    parts = _parts(_with_geometry(_Drawn(shapes, tuple(ids), tuple(names), tuple(scenes), [])))
    try:
        return replace(parts, shapes=_moved(parts.shapes, frame.crs, crs))
    except RuntimeError as error:  # pyproj's own
        raise GeoreferenceError(f"{path}: can't be brought to the CRS of the scene: {error}") from error


def _under_name(drawn: _Drawn, name: str) -> _Drawn:
    """Features whose ids begin with the name of their file."""
    return replace(
        drawn,
        ids=tuple(f"{name}: {i}" for i in drawn.ids),
        unusable=[f"{name}: {text}" for text in drawn.unusable],
    )


def _joined(read: Sequence[_Drawn]) -> _Drawn:
    """Features of several files."""
    return _Drawn(
        np.concatenate([drawn.shapes for drawn in read]),
        tuple(each for drawn in read for each in drawn.ids),
        tuple(each for drawn in read for each in drawn.names),
        tuple(each for drawn in read for each in drawn.scenes),
        [text for drawn in read for text in drawn.unusable],
    )


def without_overlaps(labels: VectorLabels) -> VectorLabels:
    """Leave out polygons of which a tenth or more is another class, too; of others, only the pixels that overlap."""
    import shapely

    shapes = labels.shapes
    one, other = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    differ = labels.classes[one] != labels.classes[other]
    one, other = one[differ], other[differ]
    size = shapely.area(shapes)
    shared = shapely.area(shapely.intersection(shapes[one], shapes[other]))
    inside = size[one] == 0  # a point or a line that lies in a polygon, or on another
    wrong = np.zeros(len(labels), bool)
    wrong[one[inside | (shared >= OVERLAP * np.maximum(size[one], 1e-9))]] = True
    return labels.without(wrong, "overlap with another class")


@dataclass(frozen=True, slots=True)
class _Drawn:
    """Features as they are in the file."""

    shapes: npt.NDArray[Any]
    ids: tuple[str, ...]
    names: tuple[str, ...]
    scenes: tuple[str, ...]
    unusable: list[str]

    def kept(self, wrong: Bools, reason: str) -> _Drawn:
        if not wrong.any():
            return self
        left = [self.ids[i] for i in np.flatnonzero(wrong)]
        return self.at(np.flatnonzero(~wrong), f"{reason}: {_listed(left)}")

    def at(self, places: npt.NDArray[np.intp], *texts: str) -> _Drawn:
        ids, names, scenes = (tuple(each[i] for i in places) for each in (self.ids, self.names, self.scenes))
        return _Drawn(self.shapes[places], ids, names, scenes, [*self.unusable, *texts])


def _with_geometry(drawn: _Drawn) -> _Drawn:
    import shapely

    drawn = drawn.kept(shapely.is_missing(drawn.shapes) | shapely.is_empty(drawn.shapes), "no geometry")
    drawn = drawn.kept(np.array([not name for name in drawn.names], bool), "no class")
    return drawn.kept(
        ~np.asarray(shapely.is_valid(drawn.shapes), bool), "invalid geometry, as of an outline that crosses itself"
    )


def _one_spelling(drawn: _Drawn) -> _Drawn:
    """Leave out the rarer of two spellings of one class, such as "Water" and "water"."""
    counts = Counter(drawn.names)
    usual: dict[str, str] = {}
    for name, _ in counts.most_common():
        usual.setdefault(_bare(name), name)
    for name in sorted(counts):
        if (meant := usual[_bare(name)]) != name:
            wrong = np.array([each == name for each in drawn.names], bool)
            drawn = drawn.kept(wrong, f"the class {name!r}, which others spell {meant!r}; write them alike")
    return drawn


def _bare(name: str) -> str:
    """A name without capitals, accents, blanks and signs."""
    letters = unicodedata.normalize("NFKD", name.casefold())
    return re.sub(r"[\W_]", "", "".join(c for c in letters if not unicodedata.combining(c))) or name


def _parts(drawn: _Drawn) -> _Drawn:
    """Parts of multi-part features one by one, in two dimensions."""
    import shapely

    parts, place = shapely.get_parts(shapely.force_2d(drawn.shapes), return_index=True)
    return replace(drawn.at(place), shapes=parts)


def _moved(shapes: npt.NDArray[Any], crs: Any, onto: str) -> npt.NDArray[Any]:
    """Shapes of one CRS in another."""
    import geopandas

    moved: npt.NDArray[Any] = geopandas.GeoSeries(shapes, crs=crs).to_crs(onto).to_numpy()
    return moved


def _buffered(shapes: npt.NDArray[Any], metres: float) -> npt.NDArray[Any]:
    """Lines and points with a distance around them; polygons as they are."""
    import shapely

    if not metres:
        return shapes
    return np.where(shapely.get_dimensions(shapes) == 2, shapes, shapely.buffer(shapes, metres))


def _check_count(count: int, path: Path) -> None:
    if count > MOST:
        raise ReferenceDataError(
            f"{path}: expected up to {MOST:,} polygons, lines or points. Received: {count:,}. Draw some of them by "
            "lot, or burn them into a raster on the scene's grid (gdal_rasterize) and give that to --labels"
        )


def _column(frame: Any, column: str, path: Path, option: str = "--label-column") -> Any:
    """The column of a name, in capitals or small letters."""
    titles = [name for name in frame.columns if name != frame.geometry.name]
    alike = [name for name in titles if str(name).casefold() == column.casefold()]
    found = [name for name in alike if name == column] or alike
    if len(found) != 1:
        raise ReferenceDataError(
            f"{path}: expected a column {column}. Its columns: {', '.join(map(str, titles)) or 'none'}. Name "
            f"one: {option}"
        )
    return found[0]


def _text(value: Any) -> str:
    if value is None or value != value:  # NaN and NA are not equal to themselves
        return ""
    text = " ".join(str(value).split())
    return text[:-2] if re.fullmatch(r"-?\d+\.0", text) else text


def _listed(ids: Sequence[str]) -> str:
    ids = list(dict.fromkeys(ids))
    more = f" and {len(ids) - LISTED} more" if len(ids) > LISTED else ""
    return f"{', '.join(ids[:LISTED])}{more}"


def _because(reasons: Sequence[str]) -> str:
    return f" ({'; '.join(reasons)})" if reasons else ""
