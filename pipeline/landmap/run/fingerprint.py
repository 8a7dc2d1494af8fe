"""What decides the pixels of a cover, by name: finished chunks are reused only in a run with the same fingerprint."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from landmap.inference.plan import Plan
from landmap.inference.plan_text import detail_text
from landmap.io.remote import identity, is_remote
from landmap.scene.scene import files_read
from landmap.settings import FILE_SETTINGS, NEUTRAL_SETTINGS, Settings
from landmap_models.model_file.card import ModelCard

Fingerprint = dict[str, Any]
"""JSON-able values by the names in `REASONS`."""

REASONS = {
    "scene": "of another scene",
    "files": "before the scene was changed",
    "model": "with another model",
    "precision": "in another precision",
    "device": "on another device",
    "settings": "with other settings",
    "layers": "for other outputs",
    "versions": "with another version of landmap or TensorFlow",
    "reading": "with another understanding of the scene's values",
    "chunks": "in other chunks",
}
"""How an earlier run was made, if this value differs: the end of a sentence that begins with "was made"."""
CONSEQUENCES = "reading", "chunks"
"""Values that follow from the others, and are mentioned only if none of those differs."""
NAMED_ELSEWHERE = (*NEUTRAL_SETTINGS, "model", "precision", "device", "engine", "force")
"""Settings that change no pixel, or whose consequence is a value of its own."""
WORDS = "origins", "assumed", "warnings", "text", "warp_text", "clouds", "option", "by_default"
UNREAD = "path", "opens", "product", "block_shape", "files", "bits", *WORDS
"""Fields of a scene that change no value which is read from it, or are compared as files."""


def fingerprint(plan: Plan, precision: str, device: str, *, keep_probabilities: bool) -> Fingerprint:
    """The fingerprint of a run: what decides the pixels of each chunk.

    A scene's files, also those of a VRT, are compared by size and time of change; what a URL leads to is taken to stay
    the same. A classifier that was passed in is identified by its card's `weights_sha256`.

    Args:
        plan: The plan, after `with_precision`.
        precision: Number format in which the model computes.
        device: Name of the device on which it computes: TensorFlow's, or that of another engine with its version.
        keep_probabilities: Whether the probabilities of every class are kept, too.
    """
    scene, grid, card = plan.scene, plan.grid, plan.card
    settings = comparable_settings(plan.settings) | {"stride": grid.stride}
    found = {
        "scene": _name(scene.source.path),
        "files": files_read(scene),
        "reading": _pixels_only(dataclasses.asdict(scene)),
        "model": model_identity(card),
        "precision": precision,
        "device": device,
        "settings": {name: value for name, value in settings.items() if name not in NAMED_ELSEWHERE},
        "layers": "probabilities" if keep_probabilities else "confidence",
        "chunks": [dataclasses.asdict(grid), plan.chunk_shape, plan.method.text, detail_text(plan)],
        "versions": [version("landmap"), version("tensorflow")],
    }
    return dict(json.loads(json.dumps(found, default=str)))


def comparable_settings(settings: Settings) -> dict[str, Any]:
    """The settings by name, without secrets in the addresses of files."""
    told = dataclasses.asdict(settings)
    return told | {name: identity(told[name]) for name in FILE_SETTINGS if told[name] is not None}


def model_identity(card: ModelCard) -> str:
    """The name, version, weights and card of a model in one text, which differs for different models."""
    return f"{card.name} {card.version}, weights {card.weights_sha256}, card {_sha256(card.to_json())}"


def digest(found: Fingerprint) -> bytes:
    """SHA-256 of a fingerprint, 32 bytes."""
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).digest()


def difference(before: Mapping[str, Any], now: Fingerprint) -> str:
    """How an earlier run was made otherwise, in words; "" if it was not.

    Args:
        before: The fingerprint of the earlier run; values that `now` lacks are not compared.
        now: The fingerprint of this run.
    """
    # As JSON, in which NaN equals NaN.
    names = [name for name in REASONS if name in now and json.dumps(before.get(name)) != json.dumps(now[name])]
    if "scene" in names:
        names = [name for name in names if name != "files"]
    causes = [name for name in names if name not in CONSEQUENCES] or names[:1]
    return " and ".join(_reason(name, before.get(name), now[name]) for name in causes)


def _reason(name: str, before: Any, now: Any) -> str:
    if name == "settings" and isinstance(before, dict):
        changed = sorted(key for key in now.keys() | before.keys() if before.get(key) != now.get(key))
        return f"{REASONS[name]} ({', '.join(changed)})"
    if isinstance(before, str):
        return f"{REASONS[name]} ({before.split(', weights')[0]})"
    return REASONS[name]


def _name(path: str) -> str:
    """The whole path or address of a scene, without secrets."""
    return identity(path) if is_remote(path) or not Path(path).exists() else str(Path(path).resolve())


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _pixels_only(value: Any) -> Any:
    """The value without fields that change no pixel, at any depth."""
    if isinstance(value, Mapping):
        return {key: _pixels_only(inner) for key, inner in value.items() if key not in UNREAD}
    return value
