"""The models that come with landmap."""

from __future__ import annotations

from pathlib import Path

from landmap_models.errors import ModelError
from landmap_models.model_file.foreign_models import foreign_model

FOLDER = Path(__file__).parent / "packaged"
DEFAULT = "compact-eurosat-rgb"
"""What "default" means."""
LISTED = 5
"""Names of other files in an error at most."""


def packaged_models() -> dict[str, Path]:
    """Files of the packaged models by name."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.keras"))}


def find_model(name: str | Path) -> Path:
    """The file of a model given by packaged name, by "default", or by path.

    Raises:
        ModelError: There is no such file, or it is a folder.
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
    """Model files in the folder where one was looked for, as words for an error."""
    there = sorted(other.name for other in path.parent.glob("*.keras"))[:LISTED]
    return f", but {', '.join(there)}" if there else ""
