"""A plan in words: as lines of text, as JSON-able values, and as a table for notebooks."""

from __future__ import annotations

import dataclasses
import html
from typing import TYPE_CHECKING, Any

from landmap.crosswalk import PRODUCTS
from landmap.scene.scene import Scene
from landmap.tiling import Grid

if TYPE_CHECKING:
    from landmap.inference.plan import Plan

OUTPUT = "uint8 cloud-optimised GeoTIFF on the scene's grid, nodata 255, palette, overviews"
"""The format of a cover, in words."""


def plan_lines(plan: Plan) -> list[tuple[str, str]]:
    """What is decided, line by line: a name of at most 8 letters, and the decision in words."""
    scene, source, grid, radiometry = plan.scene, plan.scene.source, plan.grid, plan.scene.radiometry
    rows, cols = plan.chunk_shape
    masked = f"; {plan.num_left_out} of them are left out by a mask" if plan.num_left_out else ""
    return [
        (
            "scene",
            f"{source.redacted_path}: {source.geobox.height} rows x {source.geobox.width} columns, {source.dtype}",
        ),
        *([("product", scene.product.text)] if scene.product else []),
        *([("files", ", ".join(scene.files))] if len(scene.files) > 1 and not scene.product else []),
        *([("warp", scene.warp_text)] if scene.warp_text else []),
        *([("part", _part(plan))] if plan.settings.window or plan.settings.bbox else []),
        ("clouds", scene.clouds.text),
        *(("masks", text) for text in plan.masks),
        ("bands", _bands(scene)),
        ("nir", plan.nir),
        *([("further", scene.further_text)] if scene.further_text else []),
        ("nodata", scene.source.nodata_rule),
        ("scale", f"{_one_or_all(radiometry.scale)} ({radiometry.origins['scale']})"),
        ("offset", f"{_one_or_all(radiometry.offset)} ({radiometry.origins['offset']})"),
        ("level", f"{radiometry.level} ({radiometry.origins['level']})"),
        ("haze", radiometry.origins["haze"]),
        ("model", f"{plan.card.name} {plan.card.version}, {len(plan.card.legend)} classes"),
        ("grid", _grid(grid)),
        ("method", plan.method.text),
        *([("engine", f"{plan.engine}: {plan.engine_reason}")] if plan.engine_reason else []),
        *([("detail", detail_text(plan))] if plan.detail else []),
        *([("legend", legend_text(plan))] if plan.recode else []),
        ("chunks", f"{plan.num_chunks} of up to {rows}x{cols} px, about {plan.chunk_bytes / 1e6:.0f} MB each{masked}"),
        ("then", _after_prediction(plan)),
        ("time", f"about {max(1, round(plan.seconds))} s here"),
        ("output", OUTPUT),
    ]


def plan_text(plan: Plan) -> str:
    """The lines of a plan and its warnings, as text."""
    lines = [*plan_lines(plan), *(("warning", text) for text in plan.warnings)]
    return "\n".join(f"{name:8} {text}" for name, text in lines)


def plan_html(plan: Plan) -> str:
    """The lines of a plan and its warnings, as a table for notebooks."""
    rows = [*plan_lines(plan), *(("warning", text) for text in plan.warnings)]
    cells = "".join(f"<tr><th>{name}</th><td>{html.escape(text)}</td></tr>" for name, text in rows)
    return f"<table>{cells}</table>"


def detail_text(plan: Plan) -> str:
    """How classes of single pixels are found, in words; empty where classes are those of cells."""
    how = plan.detail_settings(plan.chunks())
    return "" if how is None else f"a class for each pixel, by a second network, from {', '.join(how.bands)}"


def legend_text(plan: Plan) -> str:
    """How the model's classes become those of another legend, in words; empty where they stay."""
    if plan.recode is None:
        return ""
    sources = plan.recode.sources(plan.card.legend.names)
    listed = "; ".join(f"{c.id} {c.name}: {', '.join(sources[c.name])}" for c in plan.recode.classes)
    return f"{PRODUCTS[plan.recode.name].title}: {listed}"


def _grid(grid: Grid) -> str:
    around = f", and {grid.margin} px around each" if grid.margin else ""
    return f"{grid.num_windows} windows of {grid.chip_size} px at a stride of {grid.stride} px{around}"


def _part(plan: Plan) -> str:
    row, col = plan.scene.source.corner
    return f"cut out from column {col} and row {row} on, as if it were a scene of its own"


def _bands(scene: Scene) -> str:
    pairs = zip(scene.source.band_names, scene.source.band_indexes, strict=True)
    if scene.product:
        return ", ".join(f"{name} is {scene.product.bands[index - 1].label}" for name, index in pairs)
    return ", ".join(f"{name} is band {index}" for name, index in pairs)


def _one_or_all(values: tuple[float, ...]) -> str:
    """One number where all bands have the same, else all of them."""
    numbers = [f"{v:.6g}" for v in values]
    return numbers[0] if len(set(numbers)) == 1 else ", ".join(numbers)


def _after_prediction(plan: Plan) -> str:
    """What is done to the classes once they are known."""
    settings, steps = plan.settings, []
    if settings.unknown_below is not None:
        steps.append(f"confidence below {settings.unknown_below} % is Unknown")
    if settings.sieve is not None:
        steps.append(f"regions under {settings.sieve} px join their largest neighbour")
    return ", then ".join(steps) or "nothing"


def plan_dict(plan: Plan) -> dict[str, Any]:
    """The plan as values that JSON has."""
    scene, grid, radiometry = plan.scene, plan.grid, plan.scene.radiometry
    return {
        "scene": {
            "path": scene.source.redacted_path,
            "height": scene.geobox.height,
            "width": scene.geobox.width,
            "dtype": scene.source.dtype,
            "crs": scene.geobox.crs,
            "transform": list(scene.geobox.transform)[:6],
            "bands": dict(zip(scene.source.band_names, scene.source.band_indexes, strict=True)),
            "product": _product(scene),
            "files": list(scene.files),
            "nodata": scene.source.nodata_rule,
            "corner": list(scene.source.corner),
            "warp": scene.warp_text or None,
        },
        "clouds": {
            "text": scene.clouds.text,
            "source": scene.clouds.source or None,
            "used": scene.clouds.used,
            "shares": dict(scene.clouds.shares),
        },
        "masks": plan.masks,
        "nir": {
            "used": scene.nir is not None,
            "band": scene.nir.source.band_indexes[0] if scene.nir else None,
            "text": plan.nir,
        },
        "further_bands": {
            "used": list(scene.further.names) if scene.further else [],
            "text": scene.further_text or None,
        },
        "radiometry": dataclasses.asdict(dataclasses.replace(radiometry, warnings=())),
        "model": {
            "name": plan.card.name,
            "version": plan.card.version,
            "levels": list(plan.card.levels),
            "sha256": plan.card.weights_sha256,
            "classes": list(plan.card.legend.names),
        },
        "grid": {
            "chip_size": grid.chip_size,
            "stride": grid.stride,
            "windows": grid.num_windows,
            "cells": [grid.rows.cells, grid.cols.cells],
            "method": plan.method.text,
        },
        "engine": {"name": str(plan.engine), "reason": plan.engine_reason or None},
        "detail": detail_text(plan) or None,
        "legend": legend_text(plan) or None,
        "chunks": {"number": plan.num_chunks, "shape": list(plan.chunk_shape), "bytes": plan.chunk_bytes}
        | {"left_out": plan.num_left_out},
        "afterwards": {"unknown_below": plan.settings.unknown_below, "sieve": plan.settings.sieve},
        "estimated_seconds": round(plan.seconds, 1),
        "output": OUTPUT,
        "warnings": list(plan.warnings),
    }


def _product(scene: Scene) -> dict[str, Any] | None:
    """What a scene was delivered as, and its files, without the signatures of addresses; None for a raster file."""
    if scene.product is None:
        return None
    return {
        "text": scene.product.text,
        "files": {band.name: band.file.split("?")[0] for band in scene.product.bands},
        "scl": [band.file.split("?")[0] for band in scene.product.scl],
    }
