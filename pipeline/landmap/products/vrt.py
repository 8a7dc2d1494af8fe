"""Files of one band each become one raster: the text of a VRT, which GDAL opens as it opens a file.

Bands of other pixel sizes are interpolated when they are read: bilinear, as reflectance is continuous (a scene
classification by the nearest pixel), and without mixing in pixels without data. Half a coarse pixel at the edge of
those gets the value of its neighbours. Nothing is computed or written here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from xml.etree import ElementTree

from affine import Affine
from rasterio.crs import CRS
from rasterio.dtypes import dtype_rev, typename_fwd
from rasterio.enums import MaskFlags
from rasterio.errors import CRSError

from landmap.errors import SceneError
from landmap.geo.geobox import GeoBox, geobox_of
from landmap.io.reading import open_raster
from landmap.products.nodata import FARTHEST, LEAST
from landmap.products.product import SCL, BandFile

Element = ElementTree.Element


@dataclass(frozen=True, slots=True)
class Header:
    """What the file of a band states of itself."""

    band: BandFile
    """The band and its file."""
    geobox: GeoBox
    """Where its pixels lie, by the file, or else by the metadata."""
    dtype: str
    """NumPy name of the data type."""
    block_shape: tuple[int, int]
    """Rows and columns of a block, which the file stores together."""
    own_nodata: float | None
    """The file's nodata value; None if it has none."""
    masked: bool
    """Whether the file has a mask beside its values."""
    scale: float
    """GDAL's scale; 1 if the file has none."""
    offset: float
    """GDAL's offset, added after scaling; 0 if the file has none."""
    tags: Mapping[str, str]
    """Tags of the file and its band."""

    @property
    def nodata(self) -> float | None:
        """Value of pixels without data: the file's own, if the metadata state none but 0.

        0 in the metadata is a rule for all bands together, besides what the files declare.
        """
        return self.own_nodata if self.own_nodata is not None and not self.band.nodata else self.band.nodata


def read_header(band: BandFile, path: str) -> Header:
    """Read the header of a band's file.

    Args:
        band: The band and its file.
        path: The product, for messages.

    Raises:
        SceneError: It can't be read, or holds another number of bands than the product states.
    """
    where = f"{path}: band {band.name}, {band.label}"
    with open_raster(band.file, where) as file:
        number = _number(file, band, where)
        return Header(
            band=band,
            geobox=_place(file, band, where),
            dtype=file.dtypes[number - 1],
            block_shape=file.block_shapes[number - 1],
            own_nodata=file.nodatavals[number - 1],
            masked=MaskFlags.per_dataset in file.mask_flag_enums[number - 1],
            scale=file.scales[number - 1],
            offset=file.offsets[number - 1],
            tags={**file.tags(), **file.tags(number)},
        )


def _number(file: Any, band: BandFile, where: str) -> int:
    """Number of the band in its file, from 1."""
    if band.number is None and file.count != 1:
        raise SceneError(f"{where}: expected a file of one band. Received: {file.count} bands")
    if band.number is not None and band.number > file.count:
        raise SceneError(f"{where}: expected at least {band.number} bands, as its metadata say. Received: {file.count}")
    return band.number or 1


def _place(file: Any, band: BandFile, where: str) -> GeoBox:
    """The geobox of the file; if it has none, that of the metadata, which may be of another resolution."""
    if band.place is None or (file.crs and file.transform != Affine.identity()):
        return geobox_of(file)
    rows, cols = band.place.shape
    try:
        crs = CRS.from_user_input(band.place.crs)
    except CRSError as error:
        raise SceneError(f"{where}: expected a coordinate reference system. Received: {band.place.crs}") from error
    transform = band.place.transform @ Affine.scale(cols / file.width, rows / file.height)
    return GeoBox(file.height, file.width, transform, crs.to_wkt())


def vrt_text(headers: Sequence[Header], grid: Header, *, masks: bool = True) -> str:
    """The text of a VRT with a band for each file, described by its Sentinel-2 name.

    Args:
        headers: Headers of the files, in the order of the bands; all cover the same ground.
        grid: Header of the file whose geobox and blocks the raster gets.
        masks: Whether masks of the files become masks of the bands; else masked pixels become nodata.
    """
    geobox = grid.geobox
    root = ElementTree.Element("VRTDataset", rasterXSize=str(geobox.width), rasterYSize=str(geobox.height))
    if geobox.crs:
        ElementTree.SubElement(root, "SRS").text = geobox.crs
    if geobox.transform != Affine.identity():
        ElementTree.SubElement(root, "GeoTransform").text = ", ".join(map(repr, geobox.transform.to_gdal()))
    _add_tags(root, dict(sorted(set.intersection(*(set(header.tags.items()) for header in headers)))))
    for number, header in enumerate(headers, start=1):
        _add_band(root, number, header, grid, masks=masks)
    return ElementTree.tostring(root, encoding="unicode")


def _add_band(root: Element, number: int, header: Header, grid: Header, *, masks: bool) -> None:
    rows, cols = grid.block_shape
    band = ElementTree.SubElement(
        root,
        "VRTRasterBand",
        dataType=typename_fwd[dtype_rev[header.dtype]],
        band=str(number),
        blockXSize=str(cols),
        blockYSize=str(rows),
    )
    ElementTree.SubElement(band, "Description").text = header.band.name
    _add_tags(band, header.tags)
    if header.nodata is not None:
        ElementTree.SubElement(band, "NoDataValue").text = repr(header.nodata)
    ElementTree.SubElement(band, "Scale").text = repr(header.scale)
    ElementTree.SubElement(band, "Offset").text = repr(header.offset)
    if header.geobox.shape == grid.geobox.shape:
        _add_values(band, header, grid, folds=not masks)
    else:
        _add_interpolated(band, header, grid)
    if header.masked and masks:
        _add_mask(band, header, grid)


def _add_values(band: Element, header: Header, grid: Header, *, folds: bool) -> None:
    """Add the file's own values. Its own nodata becomes that of the metadata, if they state another one.

    With `folds` masked pixels and fill values become nodata, too.
    """
    skipped = header.own_nodata if header.own_nodata != header.nodata else None
    masks, fill = header.masked and folds, _fill_to_nodata(header) if folds else ""
    source = ElementTree.SubElement(band, "ComplexSource" if masks or fill or skipped is not None else "SimpleSource")
    _add_place(source, header.band.file, header.band.number or 1, header, grid)
    if masks:
        ElementTree.SubElement(source, "UseMaskBand").text = "true"
    if skipped is not None:
        ElementTree.SubElement(source, "NODATA").text = repr(skipped)
    if fill:
        ElementTree.SubElement(source, "LUT").text = fill


def _fill_to_nodata(header: Header) -> str:
    """A table by which GDAL turns fill values into nodata, so that they are not averaged; empty if none is needed.

    Values that are fill only if every band has them are left, as a band does not know the others.
    """
    kind = header.dtype[0]
    if kind not in "if" or header.band.name == SCL:
        return ""
    nodata = repr(header.nodata)
    table = [f"{-FARTHEST:g}:{nodata}", f"{LEAST - 1e-3}:{nodata}", f"{LEAST}:{LEAST}"]
    return ",".join([*table, f"{FARTHEST * 0.99:g}:{FARTHEST * 0.99:g}", f"{FARTHEST:g}:{nodata}"])


def _add_interpolated(band: Element, header: Header, grid: Header) -> None:
    """Add the file's values on another grid, through a VRT of its own that keeps nodata out of averages."""
    if header.nodata is None:  # none is declared: 0 it is, as everywhere
        unseen = 0.0 if header.dtype[0] in "iu" else float("nan")
        header = replace(header, band=replace(header.band, nodata=unseen))
    resampling = "nearest" if header.band.name == SCL else "bilinear"
    source = ElementTree.SubElement(band, "SimpleSource", resampling=resampling)
    _add_place(source, vrt_text([header], header, masks=False), 1, header, grid)


def _add_mask(band: Element, header: Header, grid: Header) -> None:
    """Add the mask of a file, by the nearest of its pixels."""
    mask = ElementTree.SubElement(ElementTree.SubElement(band, "MaskBand"), "VRTRasterBand", dataType="Byte")
    number = f"mask,{header.band.number or 1}"
    _add_place(ElementTree.SubElement(mask, "SimpleSource"), header.band.file, number, header, grid)


def _add_place(source: Element, file: str, number: int | str, header: Header, grid: Header) -> None:
    ElementTree.SubElement(source, "SourceFilename", relativeToVRT="0").text = file
    ElementTree.SubElement(source, "SourceBand").text = str(number)
    for name, of in (("SrcRect", header.geobox), ("DstRect", grid.geobox)):
        ElementTree.SubElement(source, name, xOff="0", yOff="0", xSize=str(of.width), ySize=str(of.height))


def _add_tags(parent: Element, tags: Mapping[str, str]) -> None:
    metadata = ElementTree.SubElement(parent, "Metadata")
    for key, value in tags.items():
        ElementTree.SubElement(metadata, "MDI", key=key).text = value
