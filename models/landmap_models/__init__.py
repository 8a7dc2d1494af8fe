"""A chip becomes class probabilities: models, their cards, training and evaluation, without scenes and maps.

What this module lists in `__all__` is public, and `landmap_models.errors`; every other module may change without
notice. Each name is imported when it is first used, so that `import landmap_models` is light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from landmap_models.datasets.chips import ChipFolder as ChipFolder
    from landmap_models.datasets.chips import open_chips as open_chips
    from landmap_models.evaluation.compare import compare as compare
    from landmap_models.evaluation.evaluate import Evaluation as Evaluation
    from landmap_models.evaluation.evaluate import evaluate as evaluate
    from landmap_models.evaluation.predict import Prediction as Prediction
    from landmap_models.evaluation.predict import predict_chips as predict_chips
    from landmap_models.inference.classifier import Classifier as Classifier
    from landmap_models.inference.classifier import ConstantClassifier as ConstantClassifier
    from landmap_models.inference.classifier import WindowClassifier as WindowClassifier
    from landmap_models.inference.keras_classifier import load_classifier as load_classifier
    from landmap_models.legend import LandClass as LandClass
    from landmap_models.legend import Legend as Legend
    from landmap_models.model_file.archive import read_card as read_card
    from landmap_models.model_file.archive import write_card as write_card
    from landmap_models.model_file.card import BandProfile as BandProfile
    from landmap_models.model_file.card import ModelCard as ModelCard
    from landmap_models.model_file.packaged import find_model as find_model
    from landmap_models.training.settings import TrainSettings as TrainSettings
    from landmap_models.training.train import train as train

_PUBLIC = {
    "BandProfile": "model_file.card:BandProfile",
    "ChipFolder": "datasets.chips:ChipFolder",
    "Classifier": "inference.classifier:Classifier",
    "ConstantClassifier": "inference.classifier:ConstantClassifier",
    "Evaluation": "evaluation.evaluate:Evaluation",
    "LandClass": "legend:LandClass",
    "Legend": "legend:Legend",
    "ModelCard": "model_file.card:ModelCard",
    "Prediction": "evaluation.predict:Prediction",
    "TrainSettings": "training.settings:TrainSettings",
    "WindowClassifier": "inference.classifier:WindowClassifier",
    "compare": "evaluation.compare:compare",
    "evaluate": "evaluation.evaluate:evaluate",
    "find_model": "model_file.packaged:find_model",
    "load_classifier": "inference.keras_classifier:load_classifier",
    "open_chips": "datasets.chips:open_chips",
    "predict_chips": "evaluation.predict:predict_chips",
    "read_card": "model_file.archive:read_card",
    "train": "training.train:train",
    "write_card": "model_file.archive:write_card",
}
"""Public names, and where each is defined: module inside landmap_models, and its name there."""


__all__ = [*_PUBLIC]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, defined = _PUBLIC[name].partition(":")
    found = globals()[name] = getattr(import_module(f"{__name__}.{module}"), defined)
    return found


def __dir__() -> list[str]:
    """The public names, for completion."""
    return [*__all__, "errors"]
