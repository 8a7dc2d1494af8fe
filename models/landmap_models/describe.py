"""Model cards as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from landmap_models.card import ModelCard
from landmap_models.card_checks import is_number


def describe(card: ModelCard) -> str:
    """The card as a few lines of text.

    A card that passed its check is free in what it records of training and metrics: odd entries count as not recorded.
    """
    lines = [
        f"{card.name} {card.version}",
        f"  {card.description}",
        f"  input     {card.chip_size}x{card.chip_size} px chips of {', '.join(card.band_names)}, "
        f"{card.resolution:g} m, {' or '.join(card.levels)}, "
        f"reflectance {card.reflectance_range[0]:g} to {card.reflectance_range[1]:g}",
        f"  optional  {_optional(card)}",
        f"  classes   {', '.join(f'{c.id} {c.name}' for c in card.legend)}",
        f"  task      {_task(card)}",
        f"  training  {card.training.get('data', 'not recorded')}, {_parts(_mapping(card.training.get('split')))}",
        *_described(_mapping(card.training.get("described"))),
        f"  metrics   {_metrics(card)}",
        f"  weights   {card.weights_sha256}, {card.licence}",
        f"  written   {', '.join(f'{name} {number}' for name, number in card.versions.items()) or 'not recorded'}",
    ]
    return "\n".join(lines)


def _described(sources: Mapping[str, Any]) -> list[str]:
    """Where the entries of a card come from that was made for a model trained elsewhere."""
    return [f"  described {'; '.join(f'{name}: {origin}' for name, origin in sources.items())}"] if sources else []


def _task(card: ModelCard) -> str:
    if card.thresholds is None:
        return card.task
    limits = zip(card.legend.names, card.thresholds, strict=True)
    return f"{card.task}, there from {', '.join(f'{name} {limit:g}' for name, limit in limits)}"


def _optional(card: ModelCard) -> str:
    if card.nir is None:
        return "no further bands"
    return (
        f"{', '.join(card.optional_bands)}, as near-infrared prior fitted on {card.nir.origin or 'chips not recorded'}"
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _parts(split: Mapping[str, Any]) -> str:
    parts = _mapping(split.get("parts"))
    if not parts:
        return "split not recorded"
    chips = ", ".join(f"{name} {_mapping(part).get('chips', '?')}" for name, part in parts.items())
    return f"{split.get('method', '')} split, seed {split.get('seed')} ({chips})"


def _metrics(card: ModelCard) -> str:
    measured = [
        f"{name} {100 * entry['value']:.1f} % (95 %: {100 * entry['low']:.1f} to {100 * entry['high']:.1f})"
        for name, entry in card.metrics.items()
        if all(is_number(_mapping(entry).get(key)) for key in ("value", "low", "high"))
    ]
    if not measured:
        return "not recorded"
    return f"{', '.join(measured)} on {card.metrics.get('n', '?')} chips, {card.metrics.get('split', 'split unknown')}"
