"""The network inside a model file that answers for each pixel, frozen for one set of bands and one shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from landmap_models.arrays import Floats
from landmap_models.inference.graphs import Graphs
from landmap_models.inference.loading import load_further
from landmap_models.inference.tensorflow import POLICIES, Precision, Shape, frozen_network
from landmap_models.model_file.pixels import PixelPart

BINOMIAL = (0.25, 0.5, 0.25)
"""Weights of neighbouring pixels, along rows and columns, by which probabilities are averaged: a network that doubles
its resolution at the end judges the four pixels of each square by weights of their own, which shows as a checkerboard
where two classes are equally probable. These weights leave nothing of a pattern of two pixels, and cost no accuracy
(docs/model.md)."""


class PixelNetwork:
    """Gives the pixel factor of each class of the legend; see `PixelPart`. May be called from several threads."""

    def __init__(
        self,
        load: Callable[[], Any],
        part: PixelPart,
        there: Sequence[bool],
        precision: Precision,
        device: str,
        graphs: Graphs,
    ) -> None:
        """Prepare the network for one set of bands; graphs are made when a shape is first asked for.

        Args:
            load: Loads the `keras.Model` that is told which bands are there, as `pixel_unet.with_flags` makes it.
            part: The rule by which its answers are used.
            there: Which of the part's bands are there, one flag a band.
            precision: Precision in which all but the last layers compute.
            device: TensorFlow's name of the device to compute on.
            graphs: Frozen graphs of the model's file.
        """
        self._load, self._part, self._there = load, part, tuple(there)
        self._precision, self._device, self._graphs = precision, device, graphs
        self._run: Callable[[Floats], Floats] | None = None
        self._shape: tuple[int, ...] = ()

    def factors(self, values: Floats) -> Floats:
        """The pixel factor of each class, `(classes, height, width)`.

        Args:
            values: Reflectance of the bands that are there, in the part's order, `(height, width, bands)`; height and
                width are multiples of the part's step. A new shape makes a new graph, which takes about a second.
        """
        shape = 1, *values.shape
        if self._run is None or self._shape != shape:
            name = f"pixels-{''.join(str(int(flag)) for flag in self._there)}-{self._precision}"
            self._run = frozen_network(self._prepared, shape, self._device, self._graphs, name, any_size=True)
            self._shape = shape
        answers: Floats = self._run(values[None])[0]
        return answers

    def _prepared(self, shape: Shape) -> Any:
        """The network for these bands and this size, whose answers are factors and not logits."""
        model = self._load()  # first: it is loaded quietly
        import keras
        import numpy as np

        from landmap_models.architectures.layout import in_precision
        from landmap_models.architectures.pixel_unet import for_bands

        network = for_bands(model, self._there, (shape[1], shape[2]))
        if self._precision != "float32":
            network = in_precision(network, POLICIES[self._precision], exact_input=True)
        probabilities = keras.layers.Softmax(dtype="float32", name="probabilities")(network.output)
        mean = keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False, dtype="float32", name="mean")
        averaged = mean(probabilities)
        kernel = np.outer(BINOMIAL, BINOMIAL).astype(np.float32)[..., None, None]
        mean.set_weights([np.repeat(kernel, len(self._part.classes), axis=2)])
        fits = keras.layers.Conv2D(len(self._part.fits), 1, use_bias=False, dtype="float32", name="fits")
        factors = fits(averaged)
        fits.set_weights([np.array(self._part.fits, np.float32).T[None, None]])
        by_class = keras.layers.Permute((3, 1, 2), name="by_class")(_power(factors, self._part.pixel_exponent))
        return keras.Model(network.input, by_class)


def _power(values: Any, exponent: float) -> Any:
    """A power of numbers above 0; halves and wholes by roots and products, which cost a quarter of a general power."""
    import keras

    if exponent % 0.5 or exponent > 2:
        return values**exponent
    whole = [values] * int(exponent) + [keras.ops.sqrt(values)] * (exponent % 1 == 0.5)
    return whole[0] if len(whole) == 1 else keras.layers.Multiply(name="power")(whole)


@lru_cache(maxsize=2)
def load_pixel_network(path: str | Path, part: PixelPart) -> Any:
    """The second network of a model file, loaded in safe mode; the same one is loaded once a process.

    Args:
        path: The model file.
        part: What its card says of the network.

    Raises:
        ModelError: The file holds no such network, another one than its card says, or Keras can't read it.
        UnsafeModelError: It holds code.
    """
    return load_further(path, part)
