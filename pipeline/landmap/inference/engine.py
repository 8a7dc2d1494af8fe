"""The choice of the library that computes the networks' answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from landmap.errors import SettingsError
from landmap.settings import ComputeSettings
from landmap.tiling import Grid
from landmap_models.inference.dense import analyse
from landmap_models.inference.engines import InferenceEngine, openvino_engine
from landmap_models.model_file.card import ModelCard

FEW_WINDOWS = 50_000
"""A scene of fewer windows is predicted in float32, as that takes no longer than a trial of another precision, and by
OpenVINO where it can be: up to there the start of TensorFlow costs more than its faster kernels save."""


def choose_engine(
    settings: ComputeSettings, config: Mapping[str, Any] | None, grid: Grid, card: ModelCard
) -> tuple[InferenceEngine, str]:
    """The engine, and why it is this one, in words: empty where there was nothing to choose.

    It depends on the scene's shape, the model, and what is installed; not on how or where chunks are executed.

    Args:
        settings: The engine, precision and device that are wanted.
        config: The Keras model's configuration (`read_config`); None for a classifier that is no file.
        grid: Windows of the scene.
        card: The model's card.

    Raises:
        SettingsError: OpenVINO is asked for, and can't be used.
    """
    wanted, engine = settings.engine, InferenceEngine()
    if wanted == "tensorflow":
        return engine, ""
    found = _openvino(config, card)
    if isinstance(found, str):
        if wanted == "openvino":
            raise SettingsError(f"engine: expected one that can be used. {found}. Give --engine tensorflow")
        return engine, ""
    if wanted == "openvino":
        return found, "as asked"
    if grid.num_windows >= FEW_WINDOWS:
        return engine, "a large scene"
    from landmap_models.inference.tensorflow import may_have_gpu

    if settings.precision not in ("auto", "float32"):
        return engine, f"{settings.precision} is asked for"
    if settings.device not in ("auto", "cpu") or may_have_gpu():
        return engine, "there may be a GPU" if settings.device == "auto" else f"{settings.device} is asked for"
    return found, "a small scene"


def _openvino(config: Mapping[str, Any] | None, card: ModelCard) -> InferenceEngine | str:
    """OpenVINO for a model; or why it can't run it, in words."""
    if config is None:
        return "OpenVINO runs model files only"
    if card.per_pixel:
        return "OpenVINO runs models that answer for chips only"
    network = analyse(config, card.chip_size, card.chip_size)
    if isinstance(network, str):
        return f"OpenVINO runs networks that can run over a whole chunk only: {network}"
    return openvino_engine(config)
