"""Augmentations: what each keeps, what it changes, and how they are put together."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from itertools import permutations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from landmap_models.augment import (
    AUGMENTATIONS,
    affine,
    atmosphere,
    brightness,
    compose,
    contrast,
    d4,
    flips,
    haze,
    mixup,
    quarter_turns,
    resample,
    sampling_matrix,
    standard,
    straddle,
)
from landmap_models.errors import DatasetError

Floats = npt.NDArray[np.float32]
RGB = ("B04", "B03", "B02")
ALL_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def noise(n: int = 12, size: int = 16, bands: int = 3) -> Floats:
    return random(9).uniform(0.02, 0.25, (n, size, size, bands)).astype(np.float32)


def one_hot(n: int = 12, classes: int = 5) -> Floats:
    return np.eye(classes, dtype=np.float32)[np.arange(n) % classes]


# Geometry


@pytest.mark.parametrize("change", [flips, quarter_turns, d4])
def test_symmetries_keep_every_pixel(change: Callable[..., Floats]) -> None:
    chips = noise()
    changed = change(chips, random())
    assert (changed != chips).any()
    for before, after in zip(chips, changed, strict=True):
        pixels = [sorted(map(tuple, c.reshape(-1, 3).tolist())) for c in (before, after)]
        assert pixels[0] == pixels[1]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (flips, lambda c: [c, c[::-1], c[:, ::-1], c[::-1, ::-1]]),
        (quarter_turns, lambda c: [np.rot90(c, k) for k in range(4)]),
        (d4, lambda c: [np.rot90(x, k) for x in (c, c[::-1]) for k in range(4)]),
    ],
)
def test_each_symmetry_is_equally_likely_and_there_is_no_other(
    change: Callable[..., Floats], expected: Callable[[Floats], list[Floats]]
) -> None:
    chip = np.arange(9, dtype=np.float32).reshape(3, 3, 1)
    seen = [c.tobytes() for c in change(np.stack([chip] * 4000), random())]
    wanted = [c.tobytes() for c in expected(chip)]
    assert set(seen) == set(wanted)
    for symmetry in wanted:
        assert seen.count(symmetry) / 4000 == pytest.approx(1 / len(wanted), abs=0.03)


def test_an_affine_change_without_limits_changes_nothing() -> None:
    chips = noise(size=15)
    np.testing.assert_array_equal(affine(chips, random(), share=1.0), chips)


@pytest.mark.parametrize("quarters", [1, 2, 3, -1])
@pytest.mark.parametrize("size", [15, 64])
def test_a_rotation_by_right_angles_is_a_quarter_turn(quarters: int, size: int) -> None:
    chip = noise(1, size)[0]
    turned = resample(chip, sampling_matrix(rotation=90 * quarters))
    np.testing.assert_allclose(turned, np.rot90(chip, quarters), atol=1e-5)


def test_a_shift_moves_a_pixel_down_and_right() -> None:
    chip = np.zeros((9, 9, 1), np.float32)
    chip[4, 4] = 1
    moved = resample(chip, sampling_matrix(), (2, -3))[..., 0]
    assert np.argwhere(moved).tolist() == [[6, 1]]
    between = resample(chip, sampling_matrix(), (0.25, 0))[..., 0]
    assert between[4, 4] == pytest.approx(0.75)
    assert between[5, 4] == pytest.approx(0.25)


def test_beyond_the_edge_lies_the_mirror_image() -> None:
    chip = noise(1, 8)[0]
    padded = np.pad(chip, ((8, 0), (0, 3), (0, 0)), "reflect")
    np.testing.assert_allclose(resample(chip, sampling_matrix(), (8, -3)), padded[:8, 3:], atol=1e-6)


@given(st.floats(-180, 180), st.floats(0.3, 3), st.floats(-40, 40), st.floats(-50, 50), st.floats(-50, 50))
def test_resampling_invents_no_value(angle: float, zoom: float, shear: float, down: float, right: float) -> None:
    """However far it reaches beyond the chip: no black corner, and a constant chip stays constant."""
    chip = noise(1, 11)[0]
    chip[..., 2] = 0.125
    out = resample(chip, sampling_matrix(angle, zoom, shear), (down, right))
    assert out.dtype == np.float32
    assert chip.min() - 1e-6 <= out.min() <= out.max() <= chip.max() + 1e-6
    np.testing.assert_allclose(out[..., 2], 0.125)


def test_a_plane_is_resampled_exactly() -> None:
    """Bilinear interpolation of a plane has no error, so that each pixel tells from where it was taken."""
    size, center = 33, 16
    rows, columns = np.mgrid[:size, :size].astype(np.float32)
    out = resample(np.stack([rows, columns], axis=-1), sampling_matrix(30, 2.0, 0), (1, 0))
    np.testing.assert_allclose(out[center + 1, center], (center, center), atol=1e-4)
    step = np.array([np.cos(np.pi / 6), -np.sin(np.pi / 6)]) / 2  # one row further down, turned back, and half as far
    np.testing.assert_allclose(out[center + 2, center] - center, step, atol=1e-4)


def test_shear_leans_vertical_lines_and_leaves_horizontal_ones() -> None:
    rows, columns = np.mgrid[:17, :17].astype(np.float32)
    out = resample(np.stack([rows, columns], axis=-1), sampling_matrix(shear=45))
    np.testing.assert_allclose(out[..., 0], rows, atol=1e-5)
    assert out[8, 8, 1] == pytest.approx(8)
    assert out[9, 8, 1] == pytest.approx(9)


def test_only_a_share_of_the_chips_is_resampled() -> None:
    chips = noise(400, 6, 1)
    changed = (affine(chips, random(), rotation=180, shift=0.1) != chips).any(axis=(1, 2, 3)).mean()
    assert 0.4 < changed < 0.6


# Radiometry


def test_brightness_scales_mean_and_deviation_alike() -> None:
    chips = noise(500)
    ratio = brightness(chips, random(), 0.3) / chips
    factors = ratio.mean(axis=(1, 2, 3))
    np.testing.assert_allclose(ratio, np.broadcast_to(factors[:, None, None, None], ratio.shape), rtol=1e-5)
    assert 0.7 <= factors.min() < 0.75 < 1.25 < factors.max() <= 1.3


def test_contrast_keeps_the_means_and_scales_the_deviation() -> None:
    chips = noise(500)
    changed = contrast(chips, random(), 0.05)
    np.testing.assert_allclose(changed.mean(axis=(1, 2)), chips.mean(axis=(1, 2)), rtol=1e-4)
    factors = changed.std(axis=(1, 2)) / chips.std(axis=(1, 2))
    np.testing.assert_allclose(factors, factors[:, :1].repeat(3, axis=1), rtol=1e-4)
    assert 0.95 - 1e-4 <= factors.min() < 0.96 < 1.04 < factors.max() <= 1.05 + 1e-4


@pytest.mark.parametrize("name", ["brightness", "contrast", "haze", "jitter"])
def test_reflectance_never_becomes_negative(name: str) -> None:
    dark = noise(400) * np.linspace(0, 1, 16, dtype=np.float32)[:, None, None] ** 4
    changed, _ = compose([name], band_names=RGB)(dark, one_hot(400), random())
    assert changed.min() >= 0
    assert changed.dtype == np.float32


def test_haze_falls_with_the_wavelength() -> None:
    loss, bias = atmosphere(ALL_BANDS)
    assert (np.diff(loss) < 0).all()
    assert (np.diff(bias) < 0).all()
    assert bias[-2:].max() < 0.001, "no air is seen in the short-wave infrared"
    dark = np.full((300, 2, 2, 2), 0.05, np.float32)
    change = np.abs(haze(dark, random(), bands=("B08", "B02")) - dark).mean(axis=(0, 1, 2))
    assert 0 < change[0] < change[1] / 5


def test_haze_is_that_of_the_band_wherever_it_stands() -> None:
    chips = noise(bands=3)
    there = haze(chips, random(), bands=("B02", "B08", "B04"))
    back = haze(chips[..., ::-1], random(), bands=("B04", "B08", "B02"))
    np.testing.assert_array_equal(there, back[..., ::-1])
    np.testing.assert_array_equal(haze(chips, random()), haze(chips, random(), bands=RGB))


def test_full_haze_lies_between_the_product_levels_of_a_real_scene() -> None:
    """TOA = gain * BOA + bias, fitted on the same pixels of one hazy scene before and after correction."""
    measured = {"B02": (0.774, 0.0720), "B03": (0.776, 0.0427), "B04": (0.864, 0.0247), "B08": (0.905, 0.0097)}
    loss, bias = atmosphere(tuple(measured))
    np.testing.assert_allclose(np.stack([1 - loss, bias], axis=1), list(measured.values()), atol=0.1)
    np.testing.assert_allclose(bias, [b for _, b in measured.values()], atol=0.004)


# Mixing


@given(st.integers(2, 12), st.integers(1, 9), st.integers(0, 99))
def test_straddling_labels_are_measured_areas(size: int, n: int, seed: int) -> None:
    chips = np.broadcast_to(np.arange(n, dtype=np.float32)[:, None, None, None], (n, size, size, 2))
    mixed, labels = straddle(chips, np.eye(n, dtype=np.float32), random(seed), share=1.0)
    for chip, label in zip(mixed, labels, strict=True):
        counted = np.bincount(chip[..., 1].astype(int).ravel(), minlength=n)
        np.testing.assert_array_equal(np.rint(label * size**2), counted)
        np.testing.assert_allclose(label, counted / size**2, atol=1e-6)


def test_areas_of_real_chips_are_exact() -> None:
    chips = np.broadcast_to(np.arange(40, dtype=np.float32)[:, None, None, None], (40, 64, 64, 1))
    mixed, labels = straddle(chips, np.eye(40, dtype=np.float32), random(), share=1.0)
    for chip, label in zip(mixed, labels, strict=True):
        np.testing.assert_array_equal(np.bincount(chip.astype(int).ravel(), minlength=40) / 64**2, label)


@given(st.integers(0, 99), st.sampled_from([0.1, 0.25, 0.4, 0.9]))
def test_united_labels_are_those_of_large_enough_parts(seed: int, union: float) -> None:
    n, size = 8, 10
    chips = np.broadcast_to(np.arange(n, dtype=np.float32)[:, None, None, None], (n, size, size, 1))
    labels = (random(5).random((n, 6)) < 0.4).astype(np.float32)
    mixed, united = straddle(chips, labels, random(seed), share=1.0, union=union)
    shared_by_area = straddle(chips, labels, random(seed), share=1.0)
    np.testing.assert_array_equal(mixed, shared_by_area[0])
    for chip, label in zip(mixed[..., 0], united, strict=True):
        areas = np.bincount(chip.astype(int).ravel(), minlength=n) / chip.size
        np.testing.assert_array_equal(label, labels[areas >= min(union, areas.max())].max(axis=0))


@pytest.mark.parametrize("mix", [straddle, mixup])
def test_mixing_keeps_the_sum_of_each_label(mix: Callable[..., tuple[Floats, Floats]]) -> None:
    labels = random().dirichlet(np.ones(7), 200).astype(np.float32)
    _, mixed = mix(noise(200, 8), labels, random())
    np.testing.assert_allclose(mixed.sum(axis=1), 1, atol=1e-6)
    assert (mixed != labels).any()
    assert mixed.dtype == np.float32


def test_mixup_blends_chips_as_it_blends_labels() -> None:
    n = 300
    chips = np.broadcast_to(np.eye(n, dtype=np.float32)[:, None, None, :], (n, 2, 2, n))
    mixed, labels = mixup(chips, np.eye(n, dtype=np.float32), random(), alpha=1.0)
    np.testing.assert_array_equal(mixed[:, 1, 0], labels)
    assert (labels.argmax(axis=1) == np.arange(n)).all(), "a chip is gone from the epoch"
    assert ((labels > 0).sum(axis=1) <= 2).all()
    assert labels.max(axis=1).mean() == pytest.approx(0.75, abs=0.03), "of a uniform share, the larger part"


# Composition


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("name", [*AUGMENTATIONS, "standard", "none"])
def test_every_name_is_repeatable_picklable_and_leaves_its_input(name: str, multi_label: bool) -> None:
    augment = compose([name], band_names=RGB, multi_label=multi_label)
    chips, labels = noise(40), one_hot(40)
    before = chips.tobytes(), labels.tobytes()
    once, again = augment(chips, labels, random(3)), pickle.loads(pickle.dumps(augment))(chips, labels, random(3))
    other = augment(chips, labels, random(4))
    assert (chips.tobytes(), labels.tobytes()) == before
    assert [x.tobytes() for x in once] == [x.tobytes() for x in again]
    assert [x.shape for x in once] == [chips.shape, labels.shape]
    assert [x.dtype for x in once] == [np.float32, np.float32]
    assert (once[0] != other[0]).any() == (name != "none")
    assert str(augment)


def test_the_order_of_names_does_not_matter() -> None:
    chips, labels = noise(), one_hot()
    results = set()
    for names in permutations(["mixup", "haze", "zoom", "rotation", "flips"]):
        augment = compose(names, band_names=RGB)
        results.add((augment.names, augment(chips, labels, random())[0].tobytes()))
    assert len(results) == 1


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["standard"], ("d4", "haze", "jitter", "straddle")),
        (["jitter", "standard", "zoom"], ("d4", "zoom", "haze", "jitter", "straddle")),
        (["quarter-turns", "flips"], ("d4",)),
        (["d4", "flips"], ("d4",)),
        (["none"], ()),
        ([], ()),
    ],
)
def test_names_are_resolved(names: Sequence[str], expected: tuple[str, ...]) -> None:
    assert compose(names, band_names=RGB).names == expected


def test_an_augmentation_is_split_at_a_name() -> None:
    others, straddle = compose(["standard"], band_names=RGB).split_at("straddle")
    assert (others.names, straddle.names) == (("d4", "haze", "jitter"), ("straddle",))
    assert compose(["d4"], band_names=RGB).split_at("straddle")[1].names == ()


def test_standard_by_name_is_standard() -> None:
    chips, labels = noise(64), one_hot(64)
    named = compose(["standard"], band_names=RGB)(chips, labels, random(5))
    for by_name, by_function in zip(named, standard(chips, labels, random(5)), strict=True):
        np.testing.assert_array_equal(by_name, by_function)


def test_the_four_affine_names_resample_once() -> None:
    chips, labels = noise(), one_hot()
    together, _ = compose(["rotation", "shift", "zoom", "shear"], band_names=RGB)(chips, labels, random())
    np.testing.assert_array_equal(together, affine(chips, random(), 180, 0.125, 0.15, 10))


def test_a_description_has_every_setting() -> None:
    assert str(compose(["none"], band_names=RGB)) == "none"
    assert str(compose(["flips"], band_names=RGB)) == "flips"
    text = str(compose(["zoom", "shear", "straddle", "haze"], band_names=RGB, multi_label=True))
    assert text == (
        "affine (zoom 0.15, shear 10, share 0.5); haze (strength 0.35, share 0.5); straddle (share 0.25, union 0.25)"
    )


@pytest.mark.parametrize(
    ("names", "bands", "message"),
    [
        (["d4", "cutout"], RGB, r"out of flips, .*, mixup, none, standard\. Received: 'cutout'"),
        (["none", "d4"], RGB, "none alone"),
        (["haze"], ("B04", "red"), r"B8A.*Received: red\. Rename"),
        (["standard"], ("VV", "VH"), "Received: VV, VH"),
    ],
)
def test_what_cannot_be_meant_is_refused(names: list[str], bands: tuple[str, ...], message: str) -> None:
    with pytest.raises(DatasetError, match=message) as caught:
        compose(names, band_names=bands)
    assert "\n" not in str(caught.value)


def test_bands_without_a_name_matter_only_to_haze() -> None:
    changed, _ = compose(["d4", "zoom", "jitter"], band_names=("VV", "VH"))(noise(bands=2), one_hot(), random())
    assert changed.shape[-1] == 2
    with pytest.raises(DatasetError, match="Received: 2 bands"):
        haze(noise(bands=2), random())
