"""Convolutions that are equivariant under the eight symmetries of the square, exactly.

Seen from above, land has no preferred direction. A layer of "fields" holds each feature eight times, once for every
symmetry of the square (the group D4): turning the input turns the maps and permutes the eight. One kernel serves all
eight, so that a network learns from one chip what it would else learn from eight turned and mirrored ones (Cohen and
Welling 2016, arXiv 1602.07576).

Channels are ordered by symmetry first, then by field: channel `g * fields + f`. Kernels are standardised as in Brock et
al. 2021 (arXiv 2101.08692), in place of batch normalisation: signals keep their size, no statistics are needed.

For inference, `training.network.unrolled` writes the eight kernels out: the same network in Keras's own convolutions.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import layers, ops

Tensor = Any

ORDER = 8
"""Symmetries of the square: four quarter turns, of the picture and of its mirror image."""
RELU_GAIN = float(np.sqrt(2 / (1 - 1 / np.pi)))
"""Factor that gives a rectified signal of variance 1 a variance of 1 again."""


def transform(kernel: Tensor, symmetry: int) -> Tensor:
    """Apply one of the eight symmetries to the first two axes.

    Args:
        kernel: Array of shape `(size, size, ...)`.
        symmetry: 0 to 7: a mirroring left to right from 4 on, then `symmetry % 4` quarter turns as `numpy.rot90` does.
    """
    mirrored, turns = divmod(symmetry, 4)
    if mirrored:
        kernel = ops.flip(kernel, 1)
    for _ in range(turns):
        kernel = ops.flip(ops.swapaxes(kernel, 0, 1), 0)
    return kernel


def _relative() -> npt.NDArray[np.int64]:
    """Table `[g, h]` of the symmetry that, followed by `g`, is `h`."""
    marked = np.arange(9.0).reshape(3, 3)
    seen = [np.rot90(marked[:, ::-1] if g >= 4 else marked, g % 4) for g in range(ORDER)]

    def after(first: int, then: int) -> int:
        turned = np.rot90(seen[first][:, ::-1] if then >= 4 else seen[first], then % 4)
        return next(i for i, picture in enumerate(seen) if np.array_equal(picture, turned))

    table = np.zeros((ORDER, ORDER), np.int64)
    for then in range(ORDER):
        for first in range(ORDER):
            table[then, after(first, then)] = first
    return table


RELATIVE = _relative()


@keras.saving.register_keras_serializable("landmap")
class ScaledConv2D(layers.Layer):  # type: ignore[misc] # Keras ships no types
    """An unpadded convolution whose kernels have mean 0 and a norm that keeps the signal's variance.

    A learnt gain and offset for each filter take over what batch normalisation's do.
    """

    def __init__(
        self, filters: int, kernel_size: int = 1, strides: int = 1, activation: str | None = None, **keywords: Any
    ) -> None:
        """Prepare the layer.

        Args:
            filters: Number of kernels that are learnt.
            kernel_size: Height and width of the kernels.
            strides: Stride along both axes.
            activation: Name of an activation of Keras; None: linear.
            keywords: Arguments of `keras.layers.Layer`.
        """
        super().__init__(**keywords)
        self.filters, self.kernel_size, self.strides = filters, kernel_size, strides
        self.activation = keras.activations.get(activation)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the weights, in float32 whatever the layer computes in."""
        shape = (self.kernel_size, self.kernel_size, *self._inputs(int(input_shape[-1] or 0)), self.filters)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer="random_normal", autocast=False)
        self.gain = self.add_weight(name="gain", shape=(self.filters,), initializer="ones", autocast=False)
        self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros", autocast=False)

    def call(self, inputs: Tensor) -> Tensor:
        """Apply the convolution.

        Input shape: `(n, height, width, channels)`. Output shape: `(n, rows, cols, filters)`, or eight times as many.
        """
        kernel, bias = self.written_out()
        values = ops.conv(inputs, ops.cast(kernel, self.compute_dtype), strides=self.strides, padding="valid")
        return self.activation(values + ops.cast(bias, self.compute_dtype))

    def written_out(self) -> tuple[Tensor, Tensor]:
        """Kernel `(size, size, channels, filters)` and bias `(filters,)` of the plain convolution that this is."""
        return self._expanded(self._standardised()), self._repeated(self.bias)

    def get_config(self) -> dict[str, Any]:
        """Arguments of `__init__`, from which Keras builds the layer again."""
        own = {"filters": self.filters, "kernel_size": self.kernel_size, "strides": self.strides}
        inherited: dict[str, Any] = super().get_config()
        return inherited | own | {"activation": keras.activations.serialize(self.activation)}

    def _inputs(self, channels: int) -> tuple[int, ...]:
        return (channels,)

    def _standardised(self) -> Tensor:
        kernel = ops.convert_to_tensor(self.kernel)
        every = tuple(range(len(kernel.shape) - 1))
        kernel = kernel - ops.mean(kernel, every, keepdims=True)
        norm = ops.sqrt(ops.sum(ops.square(kernel), every, keepdims=True) + 1e-8)
        return kernel / norm * (RELU_GAIN * self.gain)

    def _expanded(self, kernel: Tensor) -> Tensor:
        return kernel

    def _repeated(self, bias: Tensor) -> Tensor:
        return ops.convert_to_tensor(bias)


@keras.saving.register_keras_serializable("landmap")
class D4Lift(ScaledConv2D):
    """A convolution from bands to fields, `(n, rows, cols, 8 * filters)`.

    Kernels keep their mean, since the brightness of land distinguishes its classes.
    """

    def _standardised(self) -> Tensor:
        kernel = ops.convert_to_tensor(self.kernel)
        norm = ops.sqrt(ops.sum(ops.square(kernel), (0, 1, 2), keepdims=True) + 1e-8)
        return kernel / norm * self.gain

    def _expanded(self, kernel: Tensor) -> Tensor:
        return ops.concatenate([transform(kernel, g) for g in range(ORDER)], axis=-1)

    def _repeated(self, bias: Tensor) -> Tensor:
        return ops.tile(bias, ORDER)


@keras.saving.register_keras_serializable("landmap")
class D4Conv2D(ScaledConv2D):
    """A convolution from fields to fields: `(n, height, width, 8 * fields)` to `(n, rows, cols, 8 * filters)`."""

    def _inputs(self, channels: int) -> tuple[int, ...]:
        return ORDER, channels // ORDER

    def _expanded(self, kernel: Tensor) -> Tensor:
        size, fields = self.kernel_size, kernel.shape[3]
        turned = [transform(ops.take(kernel, RELATIVE[g], axis=2), g) for g in range(ORDER)]
        return ops.reshape(ops.concatenate(turned, axis=-1), (size, size, ORDER * fields, ORDER * self.filters))

    def _repeated(self, bias: Tensor) -> Tensor:
        return ops.tile(bias, ORDER)


@keras.saving.register_keras_serializable("landmap")
class D4Pool(ScaledConv2D):
    """A layer from fields to features that no symmetry changes, `(n, height, width, filters)`.

    It is a 1x1 convolution of the mean over the eight channels of each field.
    """

    def _inputs(self, channels: int) -> tuple[int, ...]:
        return (channels // ORDER,)

    def _expanded(self, kernel: Tensor) -> Tensor:
        return ops.tile(kernel / ORDER, (1, 1, ORDER, 1))
