"""The lazy maps of several dates become one lazy map."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from landmap.errors import SceneError, SettingsError
from landmap.fusion import HOW, TEXTS, Fused, How, check_weights, fuse
from landmap.lazy.xarray_bands import TIMES
from landmap.maps.cover import flags
from landmap.maps.tags import LAYER_TAG, LEGEND_TAG, legend_tag
from landmap_models.arrays import Bytes, Floats
from landmap_models.legend import NODATA, UNKNOWN, UNKNOWN_ID, LandClass

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

FUSION_TAG = "LANDMAP_FUSION"
"""Attribute that says how dates were fused, and how many."""
LAYERS: dict[str, dict[str, Any]] = {
    "classes": {"long_name": "land cover", "_FillValue": NODATA},
    "confidence": {"long_name": "probability of the class", "units": "percent", "_FillValue": NODATA},
    "count": {"long_name": "number of dates that count"},
    "disagreement": {
        "long_name": "share of dates whose own class is another",
        "units": "percent",
        "_FillValue": NODATA,
    },
}
"""The arrays of a map of several dates, and what their attributes say."""


def combine(
    dates: Dataset,
    how: How = "mean",
    *,
    weights: Sequence[float] | DataArray | None = None,
    unknown_below: int | None = None,
    probabilities: bool = False,
) -> Dataset:
    """Fuse the maps of several dates into one, lazily: nothing is computed here.

    A place has no data only where no date has any: clouds of one date are filled by the others. Where a single date has
    data, its class stays, and its percentages but for the majority, whose votes are then 100 %.

    Args:
        dates: What `landmap.predict(…, probabilities=True)` returns for data with a dimension of dates; or such maps
            one after the other: `xarray.concat([one, other], "time")`.
        how: "mean" takes the weighted mean of log-probabilities; "median" the weighted median of each class's
            probability; "majority" the class that most dates have, and of equally many the more probable one.
        weights: Number from 0 for each date, in their order; a date of weight 0 does not count. None: all count alike.
        unknown_below: Confidence in percent, 1 to 100, below which a pixel is "Unknown"; None: no pixel is.
        probabilities: Whether the fused probability of every class is wanted, too.

    Returns:
        uint8 arrays of Dask on the same grid, without the dimension of dates: `classes`, `confidence` (of a majority
        its share of votes), `count` (number of dates that count), and `disagreement` (share in percent, by weight, of
        these dates whose own class is another one); and `probabilities`, if they are wanted. 255 is no data; in `count`
        that is 0.

    Raises:
        SceneError: The maps have no probabilities, no dimension of dates, or no names of classes.
        SettingsError: `how`, `weights` or `unknown_below` can't be meant.
    """
    import dask.array as da

    time, legend = _dimension(dates), _legend(dates)
    _check(how, unknown_below)
    of_dates = check_weights(None if weights is None else np.asarray(weights).tolist(), dates.sizes[time])
    each = dates["probabilities"].transpose("class", time, ...)
    rows, cols = each.dims[2:]
    classes = dates["classes"].transpose(time, rows, cols)
    count = len(LAYERS) + len(legend) * probabilities
    packed = da.blockwise(
        _fused,
        "lyx",
        da.asarray(classes.data),
        "tyx",
        da.asarray(each.data),
        "ctyx",
        new_axes={"l": count},
        concatenate=True,
        dtype=np.uint8,
        meta=np.empty((0, 0, 0), np.uint8),
        name=None,
        token="landmap-combine",
        weights=of_dates,
        ids=tuple(c.id for c in legend),
        how=how,
        unknown_below=unknown_below,
        count=count,
    )
    arrays: dict[str, tuple[tuple[Hashable, ...], Any]]
    arrays = {name: ((rows, cols), packed[number]) for number, name in enumerate(LAYERS)}
    if probabilities:
        arrays["probabilities"] = (("class", rows, cols), packed[len(LAYERS) :])
    return _dataset(dates, arrays, _with_unknown(legend, unknown_below), f"{TEXTS[how]} of {_count(dates.sizes[time])}")


def _dataset(
    dates: Dataset, arrays: Mapping[str, tuple[tuple[Hashable, ...], Any]], legend: Sequence[LandClass], made: str
) -> Dataset:
    """The arrays of a map with the attributes and coordinates of the dates.

    Args:
        dates: The maps that were fused.
        arrays: Dimensions and values of each array by its name.
        legend: Classes that the map may have.
        made: How it was fused, in words.
    """
    import xarray

    tags = dates.attrs | {FUSION_TAG: made, LEGEND_TAG: legend_tag(legend)}
    own = LAYERS | {"probabilities": dict(dates["probabilities"].attrs)}
    own["classes"] = own["classes"] | flags(legend)
    variables = {name: (*parts, tags | own[name] | {LAYER_TAG: name}) for name, parts in arrays.items()}
    dims = {"class", *arrays["classes"][0]} if "probabilities" in arrays else set(arrays["classes"][0])
    coords = {name: value for name, value in dates.coords.items() if dims.issuperset(value.dims)}
    return xarray.Dataset(variables, coords, tags)


def _count(dates: int) -> str:
    return f"{dates} date{'' if dates == 1 else 's'}"


def _fused(
    classes: Bytes,
    percents: Bytes,
    *,
    weights: Floats,
    ids: tuple[int, ...],
    how: How,
    unknown_below: int | None,
    count: int,
) -> Bytes:
    """The layers of one block, `(layers, height, width)`, in the order of `LAYERS`, then probabilities."""
    found: Fused = fuse(classes, percents, weights, ids, how, unknown_below=unknown_below)
    layers = [found.classes, found.confidence, found.count, found.disagreement, *found.probabilities]
    return np.stack(layers[:count])


def _dimension(dates: Dataset) -> Hashable:
    """The dimension of dates.

    Raises:
        SceneError: There is none, or there are no probabilities.
    """
    if missing := [name for name in ("classes", "probabilities") if name not in dates.data_vars]:
        raise SceneError(
            f"expected maps with classes and probabilities. Received none of: {', '.join(missing)}. Predict with "
            "landmap.predict(data, probabilities=True)"
        )
    time = next((dim for dim in dates["classes"].dims if str(dim).lower() in TIMES), None)
    if time is None:
        raise SceneError(
            "expected a dimension of dates, such as time. Received: "
            f"{', '.join(map(str, dates['classes'].dims))}. Put maps together: xarray.concat([one, other], 'time')"
        )
    return time


def _legend(dates: Dataset) -> list[LandClass]:
    """Classes, without "Unknown", in the order of the probabilities.

    Raises:
        SceneError: Attributes don't say them, or there are more or fewer than probabilities.
    """
    attrs = dates["classes"].attrs
    given = [np.atleast_1d(attrs.get(name, ())).tolist() for name in ("flag_values", "class_names")]
    colors = str(attrs.get("flag_colors", "")).split()
    found = [LandClass(int(i), str(name), color) for i, name, color in zip(*given, colors, strict=False)]
    found = [c for c in found if c.id != UNKNOWN_ID]
    count = dates["probabilities"].sizes.get("class")
    if not found or len(found) != count:
        raise SceneError(
            f"expected attributes flag_values, class_names and flag_colors of classes with {count} classes, as "
            f"landmap.predict writes them. Received: {len(found)}"
        )
    return found


def _with_unknown(legend: Sequence[LandClass], unknown_below: int | None) -> list[LandClass]:
    return [*legend, *([] if unknown_below is None else [UNKNOWN])]


def _check(how: str, unknown_below: int | None) -> None:
    if how not in HOW:
        raise SettingsError(f"how: expected {', '.join(HOW)}. Received: {how}")
    if unknown_below is not None and not 1 <= unknown_below <= 100:
        raise SettingsError(f"unknown_below: expected a percentage from 1 to 100. Received: {unknown_below}")
