"""Covers become a STAC catalogue: an Item beside each cover, and a Collection of all."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from landmap.batch.jobs import local_path
from landmap.errors import OutputError, SceneError
from landmap.geo.geobox import GeoBox
from landmap.geo.longitudes import span
from landmap.geo.outlines import degrees_outline
from landmap.io.cog import raster_format
from landmap.io.publish import write_text
from landmap.io.remote import name_of, redacted
from landmap.products.sensing_time import LAUNCH
from landmap.products.stac_file import read_item
from landmap.run.result import Result
from landmap.scene.scene import Scene
from landmap_models.legend import NODATA, LandClass
from landmap_models.model_file.card import ModelCard

if TYPE_CHECKING:
    import pystac
    from pystac.extensions.classification import Classification
    from pystac.extensions.mlm import ModelInput, ModelOutput

COLLECTION = "collection.json"
PROCESSING = "https://stac-extensions.github.io/processing/v1.2.0/schema.json"
"""Schema of STAC's extension "processing", for which pystac has no class."""


def make_item(
    result: Result,
    name: str,
    folder: Path,
    *,
    acquired: date | None,
    source: str | None,
    files: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """Make the STAC Item of a cover that has just been made, to lie beside it.

    An Item of a scene whose time is not known has no `datetime`, and STAC then requires `start_datetime` and
    `end_datetime`: the launch of Sentinel-2A and now; if the day is known, its begin and end.

    Args:
        result: The result of `classify`.
        name: Id of the Item.
        folder: Folder of the batch, with the Collection in it.
        acquired: Time when the scene was taken: a `datetime`, a day alone, or None where it is not known.
        source: URL or path of a STAC Item that describes the scene; None where there is none.
        files: sha256 and bytes of the outputs, by their path in `folder`.

    Returns:
        The Item as values that JSON can hold. All links are relative except those to URLs.
    """
    import pystac

    scene, now = result.plan.scene, datetime.now(UTC).replace(microsecond=0)
    geometry, (start, end) = footprint(scene.geobox), _interval(acquired, now)
    item = pystac.Item(
        id=name,
        geometry=geometry,
        bbox=bounds(geometry) if geometry else None,
        datetime=acquired if isinstance(acquired, datetime) else None,
        start_datetime=start,
        end_datetime=end,
        properties={"created": _zulu(now), "title": f"Land cover of {name_of(scene.source.path)}"},
        collection=Path(os.path.abspath(folder)).name,  # noqa: PTH100 # a link is not followed
    )
    _add_assets(item, result, folder, files)
    _add_projection(item, scene)
    _add_processing(item, result)
    _add_model(item, result)
    _add_links(item, result.outputs.cover.parent, folder, source or scene.source.path)
    return item.to_dict(include_self_link=False, transform_hrefs=False)


def _interval(acquired: date | None, now: datetime) -> tuple[datetime | None, datetime | None]:
    """Return two times between which a scene was taken; None twice where the time itself is known."""
    if isinstance(acquired, datetime):
        return None, None
    if acquired is None:
        return LAUNCH, now
    return datetime.combine(acquired, time.min, UTC), datetime.combine(acquired, time(23, 59, 59), UTC)


def footprint(geobox: GeoBox) -> dict[str, Any] | None:
    """Return a raster's outline in degrees (WGS84) as GeoJSON, cut at the antimeridian; None where it has no place."""
    import shapely

    found = degrees_outline(geobox) if geobox.crs else None
    if found is None:
        return None
    shape = shapely.simplify(found, 1e-6)  # degrees: a tenth of a metre
    return dict(shapely.geometry.mapping(shapely.orient_polygons(shape)))


def bounds(geometry: Mapping[str, Any]) -> list[float]:
    """Return west, south, east and north in degrees; across the antimeridian west is larger than east (RFC 7946)."""
    import shapely

    shape = shapely.geometry.shape(geometry)
    parts = [part.bounds for part in getattr(shape, "geoms", [shape])]
    west, south, east, north = shape.bounds
    if west == -180 and east == 180 and len(parts) > 1:
        west = min(part[0] for part in parts if part[0] > 0)
        east = max(part[2] for part in parts if part[0] <= 0)
    return [west, south, east, north]


def _add_assets(item: pystac.Item, result: Result, folder: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    import pystac
    from pystac.extensions.classification import ClassificationExtension
    from pystac.extensions.file import FileExtension
    from pystac.extensions.raster import DataType, RasterBand, RasterExtension

    size = abs(result.plan.scene.geobox.transform.a) or None
    titles = {"cover": "Land-cover classes", "confidence": "Probability of the class in percent"}
    for key, title in titles.items():
        path = getattr(result.outputs, key)
        if path is None:
            continue
        asset = pystac.Asset(f"./{path.name}", title, media_type=raster_format(path).media_type, roles=["data"])
        item.add_asset(key, asset)
        band = RasterBand.create(nodata=NODATA, data_type=DataType.UINT8, spatial_resolution=size)
        RasterExtension.ext(asset, add_if_missing=True).apply([band])
        known = files[path.relative_to(folder).as_posix()]
        FileExtension.ext(asset, add_if_missing=True).apply(checksum=f"1220{known['sha256']}", size=known["bytes"])
    for key, path in _others(result).items():
        asset = pystac.Asset(f"./{path.name}", OTHERS[key][0], media_type=_media_type(path), roles=[OTHERS[key][1]])
        item.add_asset(key, asset)
        known = files[path.relative_to(folder).as_posix()]
        FileExtension.ext(asset).apply(checksum=f"1220{known['sha256']}", size=known["bytes"])
    percent = {c.id: round(100 * c.share, 4) for c in result.classes}
    classes = _classes(result.plan.map_classes, percent)
    ClassificationExtension.ext(item.assets["cover"], add_if_missing=True).apply(classes=classes)


OTHERS = {
    "vector": ("Polygons of the classes", "data"),
    "summary": ("Area of each class", "data"),
    "report": ("Page about the map", "metadata"),
    "quicklook": ("The scene beside its map", "overview"),
}
"""Title and role of the assets that are made of a cover, by the name of their output."""


def _others(result: Result) -> dict[str, Path]:
    outputs, derived = result.outputs, result.outputs.derived
    paths = (derived.vector, derived.summary, outputs.report, outputs.quicklook)
    return {key: path for key, path in zip(OTHERS, paths, strict=True) if path is not None}


def _media_type(path: Path) -> str:
    import pystac

    kinds = {
        ".gpkg": pystac.MediaType.GEOPACKAGE,
        ".geojson": pystac.MediaType.GEOJSON,
        ".parquet": pystac.MediaType.PARQUET,
        ".json": pystac.MediaType.JSON,
        ".html": pystac.MediaType.HTML,
        ".png": pystac.MediaType.PNG,
    }
    return str(kinds.get(path.suffix, "text/csv"))


def _classes(classes: Iterable[LandClass], percent: Mapping[int, float] | None = None) -> list[Classification]:
    """Describe classes by STAC's extension "classification"; the percentage of a class is of the valid pixels."""
    from pystac.extensions.classification import Classification

    return [
        Classification.create(
            value=c.id,
            name=re.sub(r"[^0-9A-Za-z_-]+", "_", c.name),
            title=c.name,
            description=c.name,
            color_hint=c.color[1:].upper(),
            percentage=None if percent is None else percent[c.id],
        )
        for c in classes
    ]


def _add_projection(item: pystac.Item, scene: Scene) -> None:
    from pyproj import CRS
    from pystac.extensions.projection import ProjectionExtension

    projection = ProjectionExtension.ext(item, add_if_missing=True)
    crs = CRS.from_wkt(scene.geobox.crs) if scene.geobox.crs else None
    code = crs.to_authority(min_confidence=70) if crs else None
    projection.apply(
        code=":".join(code) if code else None,
        wkt2=crs.to_wkt() if crs and not code else None,
        shape=[scene.geobox.height, scene.geobox.width],
        transform=list(scene.geobox.transform)[:6],
    )


def _add_processing(item: pystac.Item, result: Result) -> None:
    plan = result.plan
    item.stac_extensions.append(PROCESSING)
    item.properties["processing:software"] = {"landmap": version("landmap")}
    item.properties["processing:lineage"] = (
        f"{', '.join(plan.scene.source.band_names)} ({plan.scene.radiometry.level}) classified by {plan.card.name} "
        f"{plan.card.version} at a stride of {plan.grid.stride} px; {plan.nir}; {result.precision}"
    )


def _add_model(item: pystac.Item, result: Result) -> None:
    """Describe the model by STAC's extension "mlm"; it requires the file of the model, so other models are left out."""
    card, path = result.plan.card, result.plan.model_path
    if path is None:
        return
    import pystac
    from pystac.extensions.mlm import AssetGeneralMLMExtension, MLMExtension, TaskType

    MLMExtension.ext(item, add_if_missing=True).apply(
        name=re.sub(r"[^0-9A-Za-z_.-]+", "-", card.name),
        architecture=str(card.training.get("settings", {}).get("architecture", "unknown")),
        tasks=[TaskType.SEMANTIC_SEGMENTATION if card.per_pixel else TaskType.SCENE_CLASSIFICATION],
        framework="Keras",
        framework_version=card.versions.get("keras"),
        input=[_model_input(card)],
        output=[_model_output(card)],
    )
    href = _reference(str(path), result.outputs.cover.parent)
    asset = pystac.Asset(href, f"{card.name} {card.version}", media_type="application/zip", roles=["mlm:model"])
    item.add_asset("model", asset)
    AssetGeneralMLMExtension.ext(asset).apply(artifact_type="keras.Model.save")


def _model_input(card: ModelCard) -> ModelInput:
    from pystac.extensions.mlm import InputStructure, ModelInput
    from pystac.extensions.raster import DataType

    shape = [-1, card.chip_size, card.chip_size, len(card.input_names)]
    structure = InputStructure.create(shape, ["batch", "height", "width", "bands"], DataType.FLOAT32)
    return ModelInput.create("reflectance", list(card.input_names), structure)


def _model_output(card: ModelCard) -> ModelOutput:
    from pystac.extensions.mlm import ModelOutput, ResultStructure, TaskType
    from pystac.extensions.raster import DataType

    side, names = [card.chip_size] * 2 * card.per_pixel, ["height", "width"] * card.per_pixel
    shape = [-1, *side, len(card.legend)]
    structure = ResultStructure.create(shape, ["batch", *names, "class"], DataType.FLOAT32)
    task = TaskType.SEMANTIC_SEGMENTATION if card.per_pixel else TaskType.SCENE_CLASSIFICATION
    return ModelOutput.create("probabilities", [task], structure, classes=_classes(card.legend))


def _add_links(item: pystac.Item, beside: Path, folder: Path, source: str) -> None:
    import pystac

    collection = Path(os.path.relpath(folder / COLLECTION, beside)).as_posix()
    at = collection if collection.startswith("..") else f"./{collection}"
    for relation in ("root", "parent", "collection"):
        item.add_link(pystac.Link(relation, at, media_type=pystac.MediaType.JSON))
    item.add_link(pystac.Link("derived_from", _reference(source, beside)))


def _reference(source: str, beside: Path) -> str:
    """Return a relative path to a file, or an address without credentials."""
    if local := local_path(source):
        return Path(os.path.relpath(local.resolve(), beside.resolve())).as_posix()
    return redacted(source)


def _zulu(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


WORLD = [-180.0, -90.0, 180.0, 90.0]
"""West, south, east and north of the Collection where no Item has a place."""


def item_path(output: str) -> str:
    """Return the path of a cover's Item, given the cover's; both are relative to the batch's folder."""
    return PurePosixPath(output).with_suffix(".json").as_posix()


def write_item(folder: Path, output: str, item: Mapping[str, Any]) -> None:
    """Write an Item beside its cover.

    Args:
        folder: Folder of the batch.
        output: Path of the cover, relative to the folder.
        item: The STAC Item as JSON has it.

    Raises:
        OutputError: The disk is full, or the like.
    """
    write_text(folder / item_path(output), json.dumps(item, indent=1) + "\n")


def write_collection(folder: Path, outputs: Sequence[str]) -> Path | None:
    """Write the Collection of some covers from their Items.

    Args:
        folder: Folder of the batch.
        outputs: Paths of the covers, relative to the folder.

    Returns:
        The file that is written; None where no cover has an Item.

    Raises:
        OutputError: The disk is full, or the like; or an Item is damaged.
    """
    import pystac

    items = {}
    for output in outputs:
        path = folder / item_path(output)
        if path.is_file():
            items[item_path(output)] = _read(path)
    if not items:
        return None
    name = Path(os.path.abspath(folder)).name  # noqa: PTH100 # a link is not followed
    collection = pystac.Collection(
        id=name,
        title=f"Land cover: {name}",
        description=(
            f"{len(items)} land-cover maps made by landmap {version('landmap')}. "
            "Contains modified Copernicus Sentinel data."
        ),
        extent=_extent(list(items.values())),
        license="other",  # landmap can't know what its user allows
        keywords=["land cover", "Sentinel-2"],
    )
    for place, item in items.items():
        link = pystac.Link("item", f"./{place}", media_type=pystac.MediaType.GEOJSON, title=item.id)
        collection.add_link(link)
    content = collection.to_dict(include_self_link=False, transform_hrefs=False)
    content["links"] = [link for link in content["links"] if link["rel"] != "root"]
    content["links"].insert(0, {"rel": "root", "href": f"./{COLLECTION}", "type": "application/json"})
    write_text(folder / COLLECTION, json.dumps(content, indent=1) + "\n")
    return folder / COLLECTION


def _read(path: Path) -> pystac.Item:
    try:
        found = read_item(str(path))
    except SceneError:
        found = None
    if found is None:
        raise OutputError(f"{path}: can't be read as a STAC Item. Remove it, and its scene is done again")
    return found


def _extent(items: Sequence[pystac.Item]) -> pystac.Extent:
    import pystac

    boxes = [item.bbox for item in items if item.bbox] or [WORLD]
    west, east = span(boxes)
    box = [west, min(box[1] for box in boxes), east, max(box[3] for box in boxes)]
    return pystac.Extent(pystac.SpatialExtent([box]), _times(items))


def _times(items: Sequence[pystac.Item]) -> pystac.TemporalExtent:
    import pystac

    starts = [item.datetime or item.common_metadata.start_datetime for item in items]
    ends = [item.datetime or item.common_metadata.end_datetime for item in items]
    return pystac.TemporalExtent([[min(t for t in starts if t), max(t for t in ends if t)]])
