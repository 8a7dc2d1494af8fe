"""The network of the packaged model in PyTorch, with its weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import max_pool2d, relu

# torchvision's wheels load their operators beside the torch that they were built for, not beside torch's build for
# processors alone. Both libraries that are compared import torchvision, and call none of the operators.
_operators = torch.library.Library("torchvision", "FRAGMENT")
for _name in ("nms", "qnms"):
    try:
        _operators.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    except RuntimeError:  # they are there
        break


class Compact(nn.Module):
    """`compact-eurosat-rgb`: probabilities `(n, 10)` of chips `(n, 3, 64, 64)` in reflectance."""

    def __init__(self, path: str) -> None:
        super().__init__()
        content: Any = np.load(path)
        arrays = [content[f"arr_{place}"] for place in range(len(content.files) - 1)]
        strides = [2] + [1] * 9
        self.gain = 1 / float(content["upper"])
        self.convolutions = nn.ModuleList(
            _convolution(*pair, stride) for *pair, stride in zip(arrays[:-2:2], arrays[1:-2:2], strides, strict=True)
        )
        self.classes = nn.Linear(*arrays[-2].shape)
        self.classes.load_state_dict({"weight": torch.tensor(arrays[-2].T), "bias": torch.tensor(arrays[-1])})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        stem, a, b, across, c, d, further, e, wide, narrow = self.convolutions
        x = relu(stem(relu(x * self.gain) * 2 - 1))
        x = max_pool2d(relu(b(relu(a(x))) + across(x[:, :, 2:-2, 2:-2])), 2)
        x = max_pool2d(relu(d(relu(c(x))) + further(x[:, :, 2:-2, 2:-2])), 2)
        x = relu(e(x))
        x = relu(x + narrow(relu(wide(x))))
        return self.classes(x.mean(dim=(2, 3))).softmax(dim=1)


def _convolution(kernel: np.ndarray, bias: np.ndarray, stride: int) -> nn.Conv2d:
    height, width, taken, given = kernel.shape
    layer = nn.Conv2d(taken, given, (height, width), stride=stride)
    layer.load_state_dict({"weight": torch.tensor(kernel.transpose(3, 2, 0, 1)), "bias": torch.tensor(bias)})
    return layer
