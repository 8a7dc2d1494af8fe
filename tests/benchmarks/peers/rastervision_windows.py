"""The map with raster-vision: its sliding windows, its learner with the network in PyTorch, its GeoJSON."""

from __future__ import annotations

import sys

import torch

from torch_network import Compact  # isort: skip # it sees to torchvision, which raster-vision imports
from rastervision.core.data import ChipClassificationGeoJSONStore, ChipClassificationLabels, ClassConfig
from rastervision.pytorch_learner import (
    ClassificationGeoDataConfig,
    ClassificationLearner,
    ClassificationLearnerConfig,
    ClassificationSlidingWindowGeoDataset,
    SolverConfig,
)

scene, _, weights, stride, output = sys.argv[1:]
classes = ClassConfig(names=[f"class {number}" for number in range(10)])
dataset = ClassificationSlidingWindowGeoDataset.from_uris(image_uri=scene, size=64, stride=int(stride), normalize=False)


class Scaled(torch.nn.Module):
    """Takes DN: raster-vision gives what the file holds."""

    def __init__(self) -> None:
        super().__init__()
        self.network = Compact(weights)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.network(values / 10_000)


config = ClassificationLearnerConfig(
    data=ClassificationGeoDataConfig(class_config=classes, num_workers=0), solver=SolverConfig(batch_sz=256)
)
learner = ClassificationLearner(config, model=Scaled(), training=False)
predictions = learner.predict_dataset(dataset, numpy_out=True, progress_bar=False)
labels = ChipClassificationLabels.from_predictions(dataset.windows, predictions)
transformer = dataset.scene.raster_source.crs_transformer
ChipClassificationGeoJSONStore(output, classes, transformer).save(labels)
