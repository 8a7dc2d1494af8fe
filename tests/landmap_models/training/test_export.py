"""Weights that bfloat16 holds exactly."""

from __future__ import annotations

import numpy as np

from landmap_models.architectures import ArchitectureOptions, build
from landmap_models.architectures.layout import exact_layers, in_precision
from landmap_models.architectures.shape import NetworkShape
from landmap_models.training.export import rounded


def test_rounding_is_small_and_leaves_bfloat16_nothing_to_round() -> None:
    network = build("compact", NetworkShape(3), ArchitectureOptions(filters=(8, 8, 8, 8)))
    chips = np.random.default_rng(0).random((4, 64, 64, 3), dtype=np.float32) * 0.3
    made = rounded(network)
    change = np.abs(np.asarray(made(chips)) - np.asarray(network(chips, training=False)))
    assert 0 < change.max() < 0.02
    exact = exact_layers(made)
    assert exact >= {"reflectance", "clip", "probabilities"}
    inner = [weight for layer in made.layers if layer.name not in exact for weight in layer.get_weights()]
    assert inner
    assert not any((weight.view(np.uint32) & 0xFFFF).any() for weight in inner), "16 bits of 32 are enough"
    reduced = in_precision(made, "mixed_bfloat16", exact_input=True)
    assert [layer.dtype_policy.name for layer in reduced.layers if layer.name in exact] == ["float32"] * len(exact)


def test_rounding_twice_changes_nothing_more() -> None:
    network = rounded(build("compact", NetworkShape(3), ArchitectureOptions(filters=(8, 8, 8, 8))))
    for one, other in zip(network.get_weights(), rounded(network).get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
