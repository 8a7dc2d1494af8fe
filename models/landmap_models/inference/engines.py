"""What computes a network's answers: the one place that knows of more than one engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from landmap_models.errors import ModelError
from landmap_models.inference.classifier import Classifier

if TYPE_CHECKING:  # it sets up TensorFlow's start
    from landmap_models.inference.tensorflow import Precision

EngineName = Literal["tensorflow", "openvino"]


@dataclass(frozen=True, slots=True)
class InferenceEngine:
    """The library that computes a network's answers. Two of them round differently; one never differs from itself."""

    name: EngineName = "tensorflow"
    """The library."""
    version: str = ""
    """Its version, where it is not TensorFlow, which landmap needs anyway."""

    def __str__(self) -> str:
        return {"tensorflow": "TensorFlow", "openvino": "OpenVINO"}[self.name] + (self.version and f" {self.version}")

    @property
    def smallest_tile(self) -> int:
        """Height and width in pixels of the smallest rectangle that it is given.

        For smaller ones TensorFlow takes other kernels, whose rounding differs, and a cover must not depend on its
        chunks. OpenVINO's gave the same bits from 64 px on with AVX-512, with AVX2 and with SSE.
        """
        return 512 if self.name == "tensorflow" else 64

    def load(self, path: str | Path, sha256: str, batch_size: int, precision: Precision, device: str) -> Classifier:
        """Load a model file; the same one is loaded once a process.

        Args:
            path: A `.keras` file with a card.
            sha256: SHA-256 of the weights that it must have, in hexadecimal digits.
            batch_size: Chips predicted at once.
            precision: Number format in which the layers compute.
            device: "auto", "cpu" or "gpu:N".

        Raises:
            ModelError: It can't be read, its weights are others, there is no such device, or this process has the
                engine in another version or not at all.
        """
        if self.name == "tensorflow":
            from landmap_models.inference.keras_classifier import load_classifier

            return load_classifier(path, sha256, batch_size, precision, device)
        from landmap_models.inference.openvino import installed, load_openvino_classifier

        if installed() != self.version:
            raise ModelError(
                f"expected {self}, which the plan was made with. Received: {installed() or 'none'}. Install the same "
                "(landmap[openvino]), or give --engine tensorflow"
            )
        return load_openvino_classifier(path, sha256, batch_size)


def openvino_engine(config: Mapping[str, Any]) -> InferenceEngine | str:
    """OpenVINO for a model; or one line on why it can't run it. Nothing large is imported.

    Args:
        config: The model's configuration (`read_config`).
    """
    from landmap_models.inference.openvino import installed, obstacle

    version = installed()
    if version is None:
        return "OpenVINO is not installed: pip install 'landmap[openvino]'"
    if reason := obstacle(config):
        return f"OpenVINO can't run the model: {reason}"
    return InferenceEngine("openvino", version)
