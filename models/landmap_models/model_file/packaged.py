"""The models that come with landmap."""

from __future__ import annotations

from pathlib import Path

from landmap_models.errors import ModelError
from landmap_models.model_file.foreign_models import foreign_model

FOLDER = Path(__file__).parent / "packaged"
DEFAULT = "compact-eurosat-rgb"
"""Name of the packaged model that "default" stands for."""
LISTED = 5
"""Most names of other files that an error lists."""


def packaged_models() -> dict[str, Path]:
    """The files of the packaged models, by name."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.keras"))}


def find_model(name: str | Path) -> Path:
    """Find the file of a model.

    Args:
        name: Name of a packaged model, "default", or a path.

    Raises:
        ModelError: There is no such file, or the path is a folder.
    """
    models = packaged_models()
    wanted = DEFAULT if str(name) == "default" else str(name)
    if wanted in models:
        return models[wanted]
    path = Path(name)
    if not path.exists():
        raise ModelError(f"{name}: no such file{_beside(path)}. Packaged models: {', '.join(models) or 'none'}")
    if not path.is_file():
        raise ModelError(f"{name}: expected a .keras file; this is {foreign_model(path)}")
    return path


def _beside(path: Path) -> str:
    """The model files in the folder of a missing one, for the message."""
    there = sorted(other.name for other in path.parent.glob("*.keras"))[:LISTED]
    return f", but {', '.join(there)}" if there else ""
