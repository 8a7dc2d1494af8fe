"""An xarray object of lazy arrays becomes a lazy map on the same grid."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from landmap.errors import GeoreferenceError, SettingsError
from landmap.inference.plan import Plan, make_plan, with_precision
from landmap.inference.work import model_file
from landmap.lazy.graph import PREDICT, cover_arrays
from landmap.lazy.sampled import SampledDate, sampled_dates
from landmap.lazy.xarray_bands import LazyBands, lazy_bands, standard_name
from landmap.maps.cover import flags
from landmap.maps.tags import LAYER_TAG
from landmap.products.bands import FileBand
from landmap.products.product import SCL
from landmap.run.outputs import cover_tags
from landmap.scene.arrays import reading
from landmap.scene.header import choose_bands
from landmap.settings import Settings, with_choices
from landmap_models.inference.classifier import Classifier
from landmap_models.legend import NODATA
from landmap_models.model_file.archive import read_card
from landmap_models.model_file.card import NIR_BAND, ModelCard
from landmap_models.model_file.packaged import find_model

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

MEMORY = 1_500_000_000
"""Bytes of memory that a process should need at most, by default: less than for a file, as Dask holds blocks of the
input, too."""
OTHERWISE = {
    "window": "data.isel(x=slice(…), y=slice(…))",
    "bbox": "data.rio.clip_box(…) or data.sel(…)",
    "bbox_crs": "data.rio.clip_box(…)",
    "warp": "data.rio.reproject('EPSG:NUMBER', resolution=10) or data.odc.reproject(…)",
    "scl": "a band called SCL beside the others, or data.where(…)",
    "mask": "data.where(…)",
    "mask_values": "data.where(…)",
    "invert_mask": "data.where(…)",
    "sieve": "landmap.classify, as regions lie in many chunks",
    "threads": "Dask's own schedulers",
}
"""Settings that a lazy map does not have, and what does the same in xarray."""


def predict(
    data: DataArray | Dataset,
    model: str = "default",
    *,
    chunks: int | Literal["auto"] = "auto",
    probabilities: bool = False,
    classifier: Classifier | None = None,
    settings: Settings | None = None,
    **choices: Any,
) -> Dataset:
    """Classify lazy arrays: the map is as lazy, on the same grid, and equals what `landmap.classify` makes of a file.

    Nothing is computed but a small sample, by which it is decided what the numbers mean, as for a file: at most nine
    blocks of each band and date. What the user should know is issued as `LandmapWarning`. A model's file has to lie
    where the processes that compute find it; packaged models do.

    Args:
        data: Dask arrays with CRS and evenly spaced coordinates, as rioxarray, odc-stac and stackstac make them: a
            DataArray with dimensions of bands, rows and columns in any order, or a Dataset with a variable a band; with
            a dimension of dates, or without. A band called SCL leaves clouds out.
        model: Name of a packaged model, or the path of a .keras file.
        chunks: Height and width of the map's chunks in pixels; "auto" makes them as large as `memory` allows. They
            don't change the map.
        probabilities: Whether the probability of every class is wanted, too.
        classifier: Predicts in place of the model; it must be picklable. None: the model.
        settings: The settings of the map, of which `precision` "auto" is float32; None: the defaults, with `memory` of
            1.5 GB.
        **choices: Fields of `Settings`, such as `level="L2A"`, `offset=-1000` or `stride=16`; None leaves a default.
            Those that cut, warp or mask a scene are xarray's own business, and refused.

    Returns:
        uint8 arrays of Dask, with 255 where there is no data: `classes` with class ids, names in `flag_meanings` and
        colours in `flag_colors`; `confidence`, the probability of that class in percent; and `probabilities` in percent
        along a dimension `class`, if they are wanted. Attributes say how they were made, as the tags of a file do.

    Raises:
        SceneError: The object can't be used; see `landmap.errors`.
        BandError: A band that the model needs is not found.
        GeoreferenceError: It has no place on the ground, or other pixels than the model's.
        SettingsError: A setting has a value that can't be meant, or none here.
        ModelError: The model can't be found or used.
    """
    how = _settings(model, chunks, settings, choices)
    card = classifier.card if classifier else read_card(find_model(how.model))
    bands = lazy_bands(data, numbered=how.bands is not None)
    dates = sampled_dates(bands, _wanted(bands, card, how))
    precision: Any = how.precision
    plans = [with_precision(_plan(date, how, classifier), precision) for date in dates]
    predicts = classifier or model_file(plans[0], precision)
    layers = ["classes", "confidence", *(["probabilities"] if probabilities else [])]
    arrays = cover_arrays(bands, plans, [date.encoded for date in dates], predicts, layers)
    asked = "as asked" if settings or "precision" in choices else "as a lazy map is unless another is asked for"
    return _dataset(bands, plans, arrays, "as passed in" if classifier else f"{precision}, {asked}")


def _settings(model: str, chunks: int | str, settings: Settings | None, choices: Mapping[str, Any]) -> Settings:
    """The settings that are meant.

    Raises:
        SettingsError: One has no meaning for lazy arrays.
    """
    given = {name: value for name, value in choices.items() if value is not None}
    if chunks != "auto":
        given["chunk"] = chunks
    if model != "default" or settings is None:
        given["model"] = model
    if settings is None:
        given = {"memory": MEMORY} | given
    found = with_choices(settings, given)  # type: ignore[arg-type] # it checks the names
    defaults = Settings()
    for name, instead in OTHERWISE.items():
        if getattr(found, name) != getattr(defaults, name):
            raise SettingsError(f"{name}: a lazy map has no such setting. Use {instead}")
    if found.clouds == "s2cloudless":
        raise SettingsError(
            "clouds: expected auto or none, as s2cloudless reads all of a scene first. Use "
            "landmap.classify, or data.where(…)"
        )
    return replace(found, precision="float32") if found.precision == "auto" else found


def _wanted(bands: LazyBands, card: ModelCard, how: Settings) -> set[int]:
    """Numbers, from 1, of the bands that may be used.

    Raises:
        BandError: One that the model needs is not found.
    """
    first = bands.dates[0]
    choose_bands(tuple(FileBand(i, b.name, "undefined", ()) for i, b in enumerate(first, 1)), card, how, bands.name)
    if how.bands is not None:
        return set(range(1, len(first) + 1))
    names = {*card.input_names, NIR_BAND, SCL, *(card.pixels.bands if card.pixels else ())}
    return {number for number, band in enumerate(first, 1) if standard_name(band.name) in names}


def _plan(date: SampledDate, how: Settings, classifier: Classifier | None) -> Plan:
    """The plan of a date, by its sample."""
    try:
        with reading(date.read):
            return make_plan(date.data, how, card=classifier.card if classifier else None)
    except GeoreferenceError as error:
        raise GeoreferenceError(f"{error}. In xarray: {OTHERWISE['warp']}; or force=True") from error


def _dataset(bands: LazyBands, plans: Sequence[Plan], arrays: Mapping[str, Any], precision: str) -> Dataset:
    """The arrays of a cover with names, coordinates and attributes."""
    import xarray

    tags = _tags(bands, plans, precision)
    fill = {"_FillValue": NODATA}
    own: dict[str, dict[str, Any]] = {
        "classes": {"long_name": "land cover", **flags(plans[0].map_classes)},
        "confidence": {"long_name": "probability of the class", "units": "percent"},
        "probabilities": {"long_name": "probability of each class", "units": "percent"},
    }
    variables = {
        name: (
            (*(["class"] if name == "probabilities" else []), *bands.dims),
            array,
            own[name] | fill | tags | {LAYER_TAG: name},
        )
        for name, array in arrays.items()
    }
    coords = dict(bands.coords)
    if "probabilities" in arrays:
        coords["class"] = [c.name for c in plans[0].legend]
    found = xarray.Dataset(variables, coords, tags)
    return found.isel({bands.dims[-2]: slice(None, None, -1)}) if bands.south_up else found


def _tags(bands: LazyBands, plans: Sequence[Plan], precision: str) -> dict[str, str]:
    """Tags as of a file; where dates differ, all of them as JSON, in the order of the dates."""
    each = [cover_tags(plan, precision) for plan in plans]
    names = dict.fromkeys(name for tags in each for name in tags)
    values = {name: [tags.get(name, "") for tags in each] for name in names}
    return {name: texts[0] if len(set(texts)) == 1 else json.dumps(texts) for name, texts in values.items()}


def _runs_network(key: Any) -> bool:
    """Whether a task, given by its key, runs a network; Dask joins the names of tasks that it fuses."""
    return PREDICT in str(key[0] if isinstance(key, tuple) else key)


class _Retries(int):
    """An annotation of Dask, called with a task's key. As a number, which Dask takes for layers it fuses, it is 0."""

    retries = 0

    def __call__(self, key: Any) -> int:
        return self.retries if _runs_network(key) else 0


class _Resources(dict[str, float]):
    """An annotation of Dask, called with a task's key. As a mapping it is empty; see `_Retries`."""

    resources: Mapping[str, float] = {}  # it is replaced, and not changed

    def __call__(self, key: Any) -> dict[str, float]:
        return dict(self.resources) if _runs_network(key) else {}


def annotate_inference(
    *, resources: Mapping[str, float] | None = None, retries: int = 0
) -> AbstractContextManager[None]:
    """Annotate the tasks that run a network, in what is computed inside this context; reading and writing are not.

    Dask drops annotations of a graph when it fuses tasks of arrays, and keeps those that a computation is started with:
    so this belongs around `compute`, `persist`, `to_zarr` and the like. Local schedulers ignore annotations.

        with landmap.annotate_inference(resources={"GPU": 1}, retries=2):
            cover.to_zarr("cover.zarr")

    Args:
        resources: What a worker must announce to run such a task, and how much of it a task takes; None: nothing.
        retries: Number of times that a failed task is tried again.
    """
    import dask

    again, needed = _Retries(), _Resources()
    again.retries, needed.resources = retries, dict(resources or {})
    context: AbstractContextManager[None] = dask.annotate(retries=again, resources=needed)
    return context
