"""NASA's harmonised Landsat and Sentinel-2 (HLS, S30 and L30) as downloaded: a file for each band in one folder."""

from __future__ import annotations

import re
from importlib.resources.abc import Traversable

from landmap.products.folder import band_files, entries, gdal_path
from landmap.products.product import BandFile, Product
from landmap.products.scene_names import check_one_scene, dates_in
from landmap_models.sentinel2 import band_code

NAME = re.compile(r"HLS[._]([SL]30)[._]T\w{5}[._]\d{7}T\d{6}[._]v\d[._]\d[._](\w+)\.tiff?", re.IGNORECASE)
L30 = {
    "B01": "B01",
    "B02": "B02",
    "B03": "B03",
    "B04": "B04",
    "B05": "B8A",
    "B06": "B11",
    "B07": "B12",
    "B09": "B10",
}
"""Sentinel-2's band of about the same wavelengths by Landsat's number: L30's B05 is near infrared, no red edge."""
SCALE, NODATA = 1e-4, -9999.0
"""Reflectance per unit and nodata value of every band, by the HLS user guide; there is no offset."""
GUIDE = "the HLS user guide"


def find(entry: Traversable, path: str) -> Product | None:
    """The HLS scene whose bands a folder holds; None if it holds none.

    Angles (SAA, SZA, VAA, VZA) and Fmask are no bands.

    Args:
        entry: A file or folder on a disk or in a zip archive.
        path: What the user gave, for messages.

    Raises:
        SceneError: There are bands of several scenes.
    """
    found = {file.name: (file, match) for file in entries(entry) if (match := NAME.fullmatch(file.name))}
    bands = tuple(band for file, match in found.values() if (band := _band(file, match[1].upper(), match[2])))
    if not bands:
        return None
    others = [band.label for band in band_files(entry)]
    check_one_scene([*(band.label for band in bands), *others], path, "Give each scene a folder of its own")
    kind = next(match[1].upper() for _, match in found.values())
    sensed = dates_in(bands[0].label)
    return Product(
        path=path,
        text=f"HLS {kind} ({'Landsat' if kind == 'L30' else 'Sentinel-2'}), surface reflectance, sensed "
        f"{f'{sensed[0]:%Y-%m-%d %H:%M} UTC' if sensed else '?'}, {len(bands)} band files",
        bands=bands,
        unread_clouds=tuple(name for name, (_, match) in found.items() if match[2].lower() == "fmask"),
        level="L2A",
        origins={"level": "HLS is surface reflectance, as L2A is", "scale": GUIDE, "offset": GUIDE},
    )


def _band(entry: Traversable, kind: str, code: str) -> BandFile | None:
    name = band_code(code.lower())
    name = L30.get(name or "") if kind == "L30" else name
    return BandFile(name, gdal_path(entry), scale=SCALE, offset=0.0, nodata=NODATA) if name else None
