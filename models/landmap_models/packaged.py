"""The models that come with landmap."""

from __future__ import annotations

from pathlib import Path

from landmap_models.errors import ModelError

FOLDER = Path(__file__).parent / "packaged"
DEFAULT = "compact-eurosat-rgb"
"""What "default" means."""


def packaged_models() -> dict[str, Path]:
    """Files of the packaged models by name."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.keras"))}


def find_model(name: str | Path) -> Path:
    """The file of a model given by packaged name, by "default", or by path.

    Raises:
        ModelError: Neither.
    """
    models = packaged_models()
    wanted = DEFAULT if str(name) == "default" else str(name)
    if wanted in models:
        return models[wanted]
    path = Path(name)
    if not path.is_file():
        raise ModelError(f"{name}: expected a .keras file or one of the packaged models: {', '.join(models) or 'none'}")
    return path
