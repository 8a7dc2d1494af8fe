"""What decides the pixels of a cover, by name: finished chunks of a run fit into another only where all is the same."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from landmap.inference.plan import Plan
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
"""What a different value says of the run before."""
CONSEQUENCES = "reading", "chunks"
"""They follow from the others, and are worth a word only where none of those differs."""
NAMED_ELSEWHERE = (*NEUTRAL_SETTINGS, "model", "precision", "device", "force")
"""Settings that change no pixel, or are told apart by what they came to."""
WORDS = "origins", "assumed", "warnings", "text", "warp_text", "clouds", "option", "by_default"
UNREAD = "path", "opens", "product", "block_shape", "files", "bits", *WORDS
"""Fields of a scene that change no value read from it, or are told apart as files."""


def fingerprint(plan: Plan, precision: str, device: str, *, keep_probabilities: bool) -> Fingerprint:
    """What decides the pixels of each chunk.

    A scene's files are told apart by size and time of change, those of a VRT, too; a URL is taken to stay the same. A
    classifier that was passed in is known by its card's `weights_sha256`.

    Args:
        plan: For which scene, model and settings.
        precision: In which the model computes.
        device: On which, by TensorFlow's name.
        keep_probabilities: Those of every class are kept, too.
    """
    scene, grid, card = plan.scene, plan.grid, plan.card
    settings = settings_told(plan.settings) | {"stride": grid.stride}
    found = {
        "scene": _name(scene.source.path),
        "files": files_read(scene),
        "reading": _pixels_only(dataclasses.asdict(scene)),
        "model": model_says(card),
        "precision": precision,
        "device": device,
        "settings": {name: value for name, value in settings.items() if name not in NAMED_ELSEWHERE},
        "layers": "probabilities" if keep_probabilities else "confidence",
        "chunks": [dataclasses.asdict(grid), plan.chunk_shape, plan.method.text],
        "versions": [version("landmap"), version("tensorflow")],
    }
    return dict(json.loads(json.dumps(found, default=str)))


def settings_told(settings: Settings) -> dict[str, Any]:
    """Settings by name, without what grants access to the files in them."""
    told = dataclasses.asdict(settings)
    return told | {name: identity(told[name]) for name in FILE_SETTINGS if told[name] is not None}


def model_says(card: ModelCard) -> str:
    """What tells a model from another."""
    return f"{card.name} {card.version}, weights {card.weights_sha256}, card {_sha256(card.to_json())}"


def digest(found: Fingerprint) -> bytes:
    """32 bytes that stand for a fingerprint."""
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).digest()


def difference(before: Mapping[str, Any], now: Fingerprint) -> str:
    """How the run before was made otherwise, in words; empty where it was not. Only what `now` has is compared."""
    # As JSON, for there NaN is like NaN.
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
    """Of a scene: in full, but for what grants access to it."""
    return identity(path) if is_remote(path) or not Path(path).exists() else str(Path(path).resolve())


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _pixels_only(value: Any) -> Any:
    """Without the fields that change no pixel, at any depth."""
    if isinstance(value, Mapping):
        return {key: _pixels_only(inner) for key, inner in value.items() if key not in UNREAD}
    return value
