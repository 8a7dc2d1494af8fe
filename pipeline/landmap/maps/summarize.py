"""The classes of a cover are summarised in a table: pixels, area, share and mean confidence."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import rasterio

from landmap.errors import SettingsError
from landmap.geo.areas import pixel_areas
from landmap.io.publish import Staged, locked, publish, staging
from landmap.io.reading import CACHE_BYTES
from landmap.io.tables import Row, check_table, write_rows
from landmap.left_out import LEFT_OUT_TAG, NO_DATA, parse_left_out
from landmap.maps.cover import Cover, read_cover, side_raster
from landmap.maps.legend import check_ids
from landmap.maps.shares import ClassCounter, ClassShare
from landmap.maps.zones import Zones, read_zones, zone_shares
from landmap.products.files import check_outputs
from landmap_models.legend import NODATA


def summarize(
    cover: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    confidence: str | os.PathLike[str] | None = None,
    legend: str | os.PathLike[str] | None = None,
    zones: str | os.PathLike[str] | None = None,
    zone_id: str | None = None,
    zone_layer: str | None = None,
    overwrite: bool = False,
    warn: Callable[[str], None] | None = None,
) -> list[Row]:
    """Write the area of each class of a cover as a table, and return its rows.

    Columns: `class_id`, `name`, `pixels`, `hectares`, `share` (of the valid pixels, 0 to 1) and `mean_confidence`
    (percent), with `zone` before them where there are zones. Every class of the legend has a row. If masks have left
    out pixels, a table without zones has a row for each reason why pixels have no class, too: class_id 255, "without a
    class: cloud", with their number in `pixels` and nothing else.

    Args:
        cover: A cover that `classify` wrote, or another raster of class ids.
        output: The table to write: CSV, JSON or Parquet, by its ending.
        confidence: Raster of confidence from the run that wrote the cover; None leaves `mean_confidence` empty.
        legend: A cover, model, card, QML or table (id,name,color) with the meaning of the ids of `cover`; None where
            `cover` has it itself.
        zones: Polygons in any CRS, each of which gets its own rows; a pixel that a border cuts counts in part. None
            makes one table of the whole cover.
        zone_id: Name of the column of `zones` with the name of each zone; None without zones.
        zone_layer: Name of the layer of `zones`; None where the file has one layer of polygons.
        overwrite: Whether an output that exists is replaced.
        warn: Function that is called with each warning, such as of zones outside the cover; None ignores warnings.

    Raises:
        LandmapError: See `landmap.errors`. Nothing is left behind then.
    """
    output = Path(output)
    check_table(output)
    check_outputs([output], cover, confidence, legend, zones, overwrite=overwrite)
    shared_out = check_summary(output, zones, zone_id, zone_layer)
    with locked([output]), rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES), staging(output) as folder:
        percent = None if confidence is None else Path(confidence)
        staged, rows, warnings = stage_summary(read_cover(cover, legend), output, folder, percent, shared_out)
        publish([staged], overwrite=overwrite)
    for warning in warnings:
        (warn or _ignore)(warning)
    return rows


def check_summary(
    output: Path, zones: str | os.PathLike[str] | None, zone_id: str | None, zone_layer: str | None = None
) -> Zones | None:
    """Read the zones, and refuse what can't be done, before any work.

    Args:
        output: The table to write.
        zones: File with the zones; None where there are none.
        zone_id: Name of the column with the name of each zone; None without zones.
        zone_layer: Name of the layer of the zones; None where the file has one layer of polygons.

    Returns:
        The zones; None where there are none.

    Raises:
        OutputError: The output's ending is unknown, or pyarrow is missing.
        SettingsError: Zones are given without the name of a column or the other way round, or zones have no name.
        ZoneError: The zones can't be read or used.
    """
    check_table(output)
    if (zones is None) != (zone_id is None) or (zones is None and zone_layer is not None):
        raise SettingsError("expected zones with the column that names them: --zones FILE --zone-id COLUMN")
    return None if zones is None or zone_id is None else read_zones(zones, zone_id, zone_layer)


def stage_summary(
    cover: Cover, output: Path, folder: Path, confidence: Path | None, zones: Zones | None
) -> tuple[Staged, list[Row], list[str]]:
    """Write the table under a temporary name.

    Args:
        cover: The finished map, as `landmap.maps.cover` opened it.
        output: Name that the table is to get; its ending chooses the format.
        folder: Folder for the file, on the disk of the output.
        confidence: Raster of confidence with the cover's geobox; None where there is none.
        zones: Zones that get their own rows; None makes one table of the whole cover.

    Returns:
        The finished file, to be published; its rows; warnings.

    Raises:
        LandmapError: See `landmap.errors`.
    """
    file = folder / f"summary{output.suffix.lower()}"
    warnings: list[str] = []
    if zones is None:
        counter = count_cover(cover, confidence)
        rows = [_row(share) for share in counter.shares(cover.legend)]
        rows += _left_out_rows(parse_left_out(cover.tags.get(LEFT_OUT_TAG), counter.nodata))
    else:
        found, warnings = zone_shares(cover, confidence, zones)
        rows = [{"zone": zone} | _row(share) for zone, shares in found for share in shares]
    write_rows(file, rows)
    return Staged(output, file), rows, warnings


def count_cover(cover: Cover, confidence: Path | None = None) -> ClassCounter:
    """Count pixels, area and confidence of every class of a cover.

    Args:
        cover: The finished map, as `landmap.maps.cover` opened it.
        confidence: Raster of confidence from the run that wrote the cover; None where there is none.

    Raises:
        SceneError: A raster can't be read, or the two don't belong together.
    """
    counter = ClassCounter(pixel_areas(cover.geobox))
    percent = side_raster(confidence, cover, "confidence")
    for window, classes in cover.strips():
        counter.add(window, classes, percent.read(window)[0] if percent else None)
    check_ids(cover.path, cover.legend, counter.pixels)
    return counter


def _ignore(warning: str) -> None:
    """Ignore a warning."""


def _left_out_rows(left_out: Mapping[str, int]) -> list[dict[str, Any]]:
    """Make a row for each reason why pixels have no class, if masks have left out some; none otherwise."""
    if not set(left_out) - {NO_DATA}:
        return []
    empty = {"hectares": None, "share": None, "mean_confidence": None}
    return [
        {"class_id": NODATA, "name": f"without a class: {reason}", "pixels": pixels, **empty}
        for reason, pixels in left_out.items()
    ]


def _row(share: ClassShare) -> dict[str, Any]:
    return {
        "class_id": share.id,
        "name": share.name,
        "pixels": share.pixels,
        "hectares": share.hectares,
        "share": share.share,
        "mean_confidence": share.mean_confidence,
    }
