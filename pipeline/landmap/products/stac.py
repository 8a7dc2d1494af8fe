"""A STAC Item (1.0 or 1.1) as a product: which asset is which band, and what it states of their values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from affine import Affine

from landmap.errors import SceneError
from landmap.products.product import CLASSI, CLOUDS, REMOTE, SCL, BandFile, Place, Product, names_classification
from landmap.products.stac_file import is_url, split_address
from landmap_models.sentinel2 import OFFSET_BASELINE, Level, band_name, level_in

if TYPE_CHECKING:
    from pystac import Asset, Item

NO_DATA_ROLES = frozenset(("thumbnail", "overview", "visual", "metadata"))
LEVEL_KEYS = ("processing:level", "product:type", "s2:product_type", "s2:product_uri")
BASELINE_KEYS = ("s2:processing_baseline", "processing:version", "sentinel:processing_baseline")
UNREAD_CLOUDS = re.compile(r"fmask|clm(_r\d)?|qa60|cloud([ _-]?mask)?", re.IGNORECASE)
"""Keys of assets that classify clouds in other formats than those of Sentinel-2's products."""
CLOUD_COVER = "eo:cloud_cover"
OFFSET_APPLIED = ("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied")
"""Properties which state that the offset of -1000 is already added to the pixels of the GeoTIFF assets."""


def item_product(item: Item, path: str) -> Product:
    """The scene that an Item describes.

    Args:
        item: The STAC Item as JSON has it.
        path: What the user gave.

    Raises:
        SceneError: A field of an asset can't be understood.
    """
    found = item_bands(item, path)
    bands = tuple(band for band in found if band.name != SCL)
    level, level_origin = _level(item)
    origins = {"scale": "the STAC item's raster:scale", "offset": _offset_origin(item, bands)}
    return Product(
        path=path,
        text=f"STAC item {item.id}{_words(item, level)}, {len(bands)} band files",
        bands=bands,
        scl=tuple(band for band in found if band.name == SCL),
        clouds=_clouds(item),
        unread_clouds=tuple(key for key in item.assets if UNREAD_CLOUDS.fullmatch(key)),
        cloud_cover=_number(item.properties, (CLOUD_COVER,), path),
        level=level,
        origins=origins | ({"level": level_origin} if level else {}) | {"clouds": f"the STAC item's {CLOUD_COVER}"},
        files=() if is_url(path) else (str(Path(split_address(path)[0]).absolute()),),
    )


def data_assets(item: Item) -> dict[str, str]:
    """Path or URL of an Item's assets with the role "data" by key; of all assets if none has it."""
    data = {key: asset for key, asset in item.assets.items() if "data" in (asset.roles or ())} or item.assets
    return {key: asset_path(asset) for key, asset in data.items()}


def asset_path(asset: Asset) -> str:
    """Path or URL of an asset's file, as a user would give it."""
    href = asset.get_absolute_href() or asset.href
    return _gdal_name(href) if href.startswith("file:") else href


def item_bands(item: Item, path: str) -> list[BandFile]:
    """The assets of an Item that hold one band each; of a band in several formats the GeoTIFF.

    If there are none, the bands of the assets that name several.

    Raises:
        SceneError: A field of an asset can't be understood.
    """
    found: dict[tuple[str, float | None], BandFile] = {}
    several: list[BandFile] = []
    # A stable sort: of the same format the first that is listed counts.
    for key, asset in sorted(item.assets.items(), key=lambda pair: not _is_geotiff(pair[1])):
        try:
            bands = list(_bands(key, asset, item, f"{path}: asset {key}"))
        except (AttributeError, IndexError, TypeError, ValueError) as error:
            raise SceneError(f"{path}: asset {key}: expected what STAC says of a band: {error}") from error
        for band in bands:
            if band.number is None:
                found.setdefault((band.name, band.resolution), band)
            else:
                several.append(band)
    return list(found.values()) or several


def _clouds(item: Item) -> tuple[BandFile, ...]:
    """The assets that are L1C's own cloud masks, by their key or the name of their file."""
    found = []
    for key, asset in item.assets.items():
        words = f"{key} {PurePosixPath(urlsplit(asset.href).path).name}".upper()
        name = next((name for name in (CLASSI, CLOUDS) if name in words), None)
        if name:
            found.append(BandFile(name, _gdal_name(asset.get_absolute_href() or asset.href)))
    return tuple(found)


def _is_geotiff(asset: Asset) -> bool:
    return "tiff" in (asset.media_type or asset.href).lower()


def _bands(key: str, asset: Asset, item: Item, where: str) -> Iterator[BandFile]:
    """The bands of Sentinel-2 in an asset."""
    own_fields = asset.extra_fields
    listed = [*(own_fields.get("bands") or own_fields.get("eo:bands") or [{}])]
    rasters = [*(own_fields.get("raster:bands") or [{}])]
    if NO_DATA_ROLES & set(asset.roles or ()):
        return
    for number, band in enumerate(listed, start=1):
        alone = len(listed) == 1
        if name := _name(key if alone else "", band):
            fields = {**own_fields, **rasters[min(number, len(rasters)) - 1], **band}
            yield _band_file(name, None if alone else number, fields, key, asset, item, where)


def _band_file(
    name: str, number: int | None, fields: Mapping[str, Any], key: str, asset: Asset, item: Item, where: str
) -> BandFile:
    scale = _number(fields, ("raster:scale", "scale"), where)
    offset = _number(fields, ("raster:offset", "offset"), where)
    if offset is not None:
        offset /= scale or 1  # STAC's is added after scaling
    applied = _applied(item, asset)
    return BandFile(
        name,
        _gdal_name(asset.get_absolute_href() or asset.href),
        number,
        _resolution(key, fields, where),
        scale=scale,
        offset=0.0 if applied else offset,
        disputed_offset=offset or None if applied else None,
        nodata=_number(fields, ("nodata",), where),
        place=_place(fields, item),
    )


def _name(key: str, band: Mapping[str, Any]) -> str | None:
    if names_classification(key):
        return SCL
    texts = (band.get("name"), key, band.get("eo:common_name"), band.get("common_name"))
    return next((name for text in texts if isinstance(text, str) and (name := band_name(text))), None)


def _number(fields: Mapping[str, Any], keys: tuple[str, ...], where: str) -> float | None:
    for key in keys:
        if (value := fields.get(key)) is not None:
            try:
                return float(value)
            except (TypeError, ValueError) as error:
                raise SceneError(f"{where}: expected a number as {key}. Received: {value!r}") from error
    return None


def _resolution(key: str, fields: Mapping[str, Any], where: str) -> float | None:
    if match := re.search(r"_(\d{2,3})m$", key):
        return float(match[1])
    transform = fields.get("proj:transform") or [None]
    return _number(fields, ("raster:spatial_resolution", "spatial_resolution", "gsd"), where) or transform[0]


def _place(fields: Mapping[str, Any], item: Item) -> Place | None:
    """The place of an asset by the extension "proj", in the fields of the asset or of the Item."""
    known = {**item.properties, **fields}
    code, transform, shape = (known.get(f"proj:{what}") for what in ("code", "transform", "shape"))
    code = code or (f"EPSG:{known['proj:epsg']}" if known.get("proj:epsg") else None)
    if not (code and transform and shape):
        return None
    return Place(str(code), Affine(*transform[:6]), (int(shape[0]), int(shape[1])))


def _gdal_name(href: str) -> str:
    """GDAL's name for a URL by which it reads parts of the file; by the URL itself it would fetch all of it."""
    scheme, separator, rest = href.partition("://")
    if scheme == "file":
        return unquote(rest)
    if not separator or scheme not in REMOTE:
        return href
    return REMOTE[scheme] + (href if scheme.startswith("http") else rest)


def _level(item: Item) -> tuple[Level | None, str]:
    for key in LEVEL_KEYS:
        if level := level_in(str(item.properties.get(key, ""))):
            return level, f"the STAC item's {key}"
    for what, text in (("collection", item.collection_id or ""), ("id", item.id)):
        if level := level_in(text):
            return level, f"the STAC item's {what}, {text}"
    return None, ""


def baseline(item: Item) -> str:
    """The processing baseline that an Item states, such as "05.09"; empty if it states none."""
    return next((str(item.properties[key]) for key in BASELINE_KEYS if key in item.properties), "")


def _words(item: Item, level: Level | None) -> str:
    sensed = item.datetime.strftime("sensed %Y-%m-%d %H:%M UTC") if item.datetime else ""
    version = f"baseline {baseline(item)}" if baseline(item) else ""
    return "".join(f", {word}" for word in (level, version, sensed) if word)


def _applied(item: Item, asset: Asset) -> bool:
    """Whether an Item states that the offset is already added to an asset's pixels; never for ESA's own JP2."""
    return _is_geotiff(asset) and any(item.properties.get(key) is True for key in OFFSET_APPLIED)


def _offset_origin(item: Item, bands: tuple[BandFile, ...]) -> str:
    if any(_applied(item, asset) for asset in item.assets.values()):
        return f"the STAC item says {'/'.join(key for key in OFFSET_APPLIED if key in item.properties)}: true"
    if any(band.offset is None for band in bands) and baseline(item) >= OFFSET_BASELINE:
        return f"assumed: 0, as the STAC item names none, though its baseline {baseline(item)} has one"
    return "the STAC item's raster:offset"
