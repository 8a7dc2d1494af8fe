"""The models that come with landmap, and those in the user's own folder of models."""

from __future__ import annotations

import os
from pathlib import Path

from landmap_models.errors import ModelError
from landmap_models.model_file.foreign_models import foreign_model

FOLDER = Path(__file__).parent / "packaged"
DEFAULT = "compact-eurosat-rgb"
"""Name of the packaged model that "default" stands for."""
FOLDER_VARIABLE = "LANDMAP_MODELS"
"""Environment variable that names the user's folder of models, in place of the usual one."""
LISTED = 5
"""Most names of other files that an error lists."""


def packaged_models() -> dict[str, Path]:
    """The files of the packaged models, by name."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.keras"))}


def user_folder() -> Path:
    """The user's folder of models, where `landmap models fetch` and `import` write; it may not exist yet."""
    from platformdirs import user_data_path

    given = os.environ.get(FOLDER_VARIABLE)
    return Path(given) if given else user_data_path("landmap", appauthor=False) / "models"


def user_models() -> dict[str, Path]:
    """The files in the user's folder of models, by name."""
    return {path.stem: path for path in sorted(user_folder().glob("*.keras")) if not path.name.startswith(".")}


def find_model(name: str | Path) -> Path:
    """Find the file of a model.

    Args:
        name: Name of a packaged model or of one in the user's folder, "default", or a path.

    Raises:
        ModelError: There is no such file, or the path is a folder.
    """
    models = packaged_models()
    wanted = DEFAULT if str(name) == "default" else str(name)
    if wanted in models:
        return models[wanted]
    own = user_models()
    if wanted in own:
        return own[wanted]
    path = Path(name)
    if not path.exists():
        listed = f". In {user_folder()}: {', '.join(own)}" if own else ""
        raise ModelError(f"{name}: no such file{_beside(path)}. Packaged models: {', '.join(models) or 'none'}{listed}")
    if not path.is_file():
        raise ModelError(f"{name}: expected a .keras file; this is {foreign_model(path)}")
    return path


def _beside(path: Path) -> str:
    """The model files in the folder of a missing one, for the message."""
    there = sorted(other.name for other in path.parent.glob("*.keras"))[:LISTED]
    return f", but {', '.join(there)}" if there else ""
