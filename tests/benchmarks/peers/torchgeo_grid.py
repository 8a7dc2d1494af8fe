"""The map with torchgeo: a raster dataset, its grid sampler, a data loader and the network in PyTorch."""

from __future__ import annotations

import sys

import torch
from class_raster import write_classes
from torch.utils.data import DataLoader
from torch_network import Compact
from torchgeo.datasets import RasterDataset, stack_samples
from torchgeo.samplers import GridGeoSampler

scene, _, weights, stride, output = sys.argv[1:]
step = int(stride)
dataset = RasterDataset(scene, transforms=lambda sample: {"image": sample["image"] / 10_000})
loader = DataLoader(
    dataset, batch_size=256, sampler=GridGeoSampler(dataset, size=64, stride=step), collate_fn=stack_samples
)
model = Compact(weights).eval()
with torch.inference_mode():
    found = torch.cat([model(batch["image"]).argmax(dim=1) for batch in loader])
side = int(len(found) ** 0.5)  # the scene is a square
write_classes(output, scene, found.reshape(side, side).numpy()[::-1], step)  # the sampler begins in the south
