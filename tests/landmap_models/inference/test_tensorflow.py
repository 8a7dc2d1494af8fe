"""Devices and what computes fastest on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from landmap_models.inference import tensorflow as engine
from landmap_models.inference.tensorflow import fast_precision, find_device


@pytest.fixture
def flags(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A file in place of the system's description of the processor."""
    path = tmp_path / "cpuinfo"
    monkeypatch.setattr(engine, "CPU_INFO", path)
    engine._has_bfloat16.cache_clear()
    return path


@pytest.mark.parametrize(
    ("text", "precision"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16 amx_tile\n", "bfloat16"),
        ("Features\t: fp asimd bf16 i8mm\n", "bfloat16"),
        ("flags\t\t: fpu avx512f avx512vl\n", "float32"),
        (None, "float32"),
    ],
)
def test_bfloat16_where_the_processor_has_it(text: str | None, precision: str, flags: Path) -> None:
    if text is not None:
        flags.write_text(text)
    assert fast_precision("/CPU:0") == precision
    engine._has_bfloat16.cache_clear()


def test_float16_on_gpus() -> None:
    assert fast_precision("/GPU:1") == "float16"


def test_the_processor_is_always_there() -> None:
    assert find_device("cpu") == "/CPU:0"
    assert find_device("auto") in ("/CPU:0", "/GPU:0")


def test_a_graph_has_one_shape(plain_model: Path) -> None:
    from landmap_models.inference.loading import load_model

    model = load_model(plain_model)
    frozen = engine.FrozenNetwork(model, (2, 64, 64, 3), "/CPU:0")
    values = np.random.default_rng(0).random((2, 64, 64, 3), dtype=np.float32)
    np.testing.assert_allclose(frozen(values), model(values, training=False), atol=1e-5)
    with pytest.raises(ValueError, match="Expected values of shape"):
        frozen(values[:1])
