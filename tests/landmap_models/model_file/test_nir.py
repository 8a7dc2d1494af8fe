"""The near-infrared prior: physics, statistics against loops, and what a card refuses."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from landmap_models.errors import CardError, DatasetError
from landmap_models.inference.classifier import FAKE_CARD
from landmap_models.model_file.archive import attach_nir_prior, read_card, weights_sha256
from landmap_models.model_file.card import ModelCard, describe
from landmap_models.model_file.nir import CellStatistics, NirPrior, Roles, cell_statistics
from landmap_models.training.nir import fit_nir_prior

FIELD, ROAD, WATER = range(3)
ROLES = Roles(water=(WATER,), road=(ROAD,), open_land=(FIELD,))
GREEN_FIELD, DEEP_WATER, ASPHALT, CLOUD = (0.04, 0.07, 0.40), (0.05, 0.07, 0.03), (0.12, 0.12, 0.16), (0.6, 0.7, 0.69)
PRIOR = NirPrior(
    means=((0.7, -1.0), (0.15, -1.8), (-0.2, -3.4)),
    covariances=(((0.02, 0.0), (0.0, 0.05)), ((0.02, 0.0), (0.0, 0.1)), ((0.02, 0.01), (0.01, 0.3))),
    roles=ROLES,
)
NAN = float("nan")


def ground(*pixels: tuple[float, float, float]) -> npt.NDArray[np.float64]:
    """Cells of 8x8 px side by side, each of one kind, `(8, 8 n, 3)`."""
    return np.concatenate([np.full((8, 8, 3), pixel) for pixel in pixels], axis=1)


def update(probabilities: list[float], *pixels: tuple[float, float, float]) -> npt.NDArray[np.float32]:
    """What becomes of these probabilities in cells of these kinds, `(n, classes)`."""
    cells = cell_statistics(ground(*pixels))
    return PRIOR.update(np.tile(np.array(probabilities, np.float32), (*cells.ndvi.shape, 1)), cells)[0]


def test_statistics_are_means_over_the_pixels_that_have_data() -> None:
    rng = np.random.default_rng(0)
    spectrum = rng.uniform(0.02, 0.5, (16, 24, 3))
    spectrum[rng.random((16, 24)) < 0.3, 2] = NAN
    spectrum[rng.random((16, 24)) < 0.3] = NAN
    found = cell_statistics(spectrum)
    for row in range(2):
        for col in range(3):
            pixels = spectrum[8 * row : 8 * row + 8, 8 * col : 8 * col + 8].reshape(-1, 3)
            seen = pixels[~np.isnan(pixels[:, 0])]
            red, green, nir = seen[~np.isnan(seen[:, 2])].T
            assert found.seen[row, col] == len(seen) / 64
            assert found.share[row, col] == pytest.approx(len(nir) / len(seen))
            assert found.ndvi[row, col] == pytest.approx(((nir - red) / (nir + red)).mean())
            assert found.log_nir[row, col] == pytest.approx(np.log(nir).mean())
            assert found.water[row, col] == pytest.approx(((green > nir) & (nir < 0.2)).mean())


def test_statistics_of_a_cell_do_not_depend_on_the_cells_around() -> None:
    spectrum = np.random.default_rng(1).uniform(0, 0.5, (80, 104, 3)).astype(np.float32)
    whole, one = cell_statistics(spectrum), cell_statistics(spectrum[16:24, 40:48])
    for field in dataclasses.fields(CellStatistics):
        assert getattr(whole, field.name)[2, 5] == getattr(one, field.name)[0, 0], field.name


@pytest.mark.parametrize(
    ("pixel", "water"), [(DEEP_WATER, 1), (GREEN_FIELD, 0), (ASPHALT, 0), (CLOUD, 0), ((0.1, 0.0, 0.0), 0)]
)
def test_what_counts_as_water(pixel: tuple[float, float, float], water: float) -> None:
    assert cell_statistics(ground(pixel)).water[0, 0] == water


def test_values_that_no_ratio_bears_stay_finite() -> None:
    found = cell_statistics(ground((0.0, 0.0, 0.0), (-0.01, 0.02, -0.02), (-0.2, 0.02, 0.1)))
    assert np.isfinite(found.ndvi).all()
    assert np.isfinite(found.log_nir).all()
    assert np.abs(found.ndvi).max() <= 1


def test_the_likelihood_is_a_density() -> None:
    """It integrates to 1 over the plane; a heavy tail is left outside."""
    one, other = np.meshgrid(np.linspace(-8, 8, 801), np.linspace(-12, 8, 801))
    density = np.exp(PRIOR.log_likelihood(one, other))
    np.testing.assert_allclose(density.sum(axis=(0, 1)) * (16 / 800) * (20 / 800), 1, atol=0.01)


def test_a_dark_green_field_is_not_water_and_water_is() -> None:
    field, water = update([0.001, 0.0, 0.999], GREEN_FIELD, DEEP_WATER)
    assert field.argmax() == FIELD
    assert field[WATER] < 0.02
    assert water.argmax() == WATER
    assert water[WATER] > 0.99


def test_a_field_beside_a_road_is_open_land() -> None:
    field, road = update([0.0, 1.0, 0.0], GREEN_FIELD, ASPHALT)
    assert field.argmax() == FIELD
    assert road.argmax() == ROAD


def test_near_infrared_alone_makes_no_water() -> None:
    """A dark roof may look like water; the model that sees no water around is believed."""
    assert update([0.5, 0.5, 0.0], DEEP_WATER)[0][WATER] == 0


def test_what_is_certain_stays() -> None:
    for pixel in (GREEN_FIELD, DEEP_WATER, ASPHALT, CLOUD):
        np.testing.assert_array_equal(update([1.0, 0.0, 0.0], pixel)[0], [1, 0, 0])


def test_probabilities_sum_to_one_or_stay_unseen() -> None:
    rng = np.random.default_rng(2)
    probabilities = rng.dirichlet([0.3] * 3, (5, 4)).astype(np.float32)
    probabilities[2, 2] = 0
    found = PRIOR.update(probabilities, cell_statistics(rng.uniform(-0.1, 1.2, (40, 32, 3))))
    sums = found.sum(axis=-1)
    assert sums[2, 2] == 0
    sums[2, 2] = 1
    np.testing.assert_allclose(sums, 1, atol=1e-6)


@pytest.mark.parametrize(("holes", "weighed"), [(0, True), (6, True), (7, False), (8, False)])
def test_a_cell_with_little_near_infrared_stays_as_it_is(holes: int, weighed: bool) -> None:
    spectrum = ground(GREEN_FIELD)
    spectrum[:, :holes, 2] = NAN
    before = np.array([[[0.01, 0.0, 0.99]]], np.float32)
    assert (PRIOR.update(before, cell_statistics(spectrum)) != before).any() == weighed


def test_pixels_outside_the_scene_do_not_make_near_infrared_rare() -> None:
    spectrum = ground(GREEN_FIELD)
    spectrum[:, 1:] = NAN
    assert PRIOR.update(np.array([[[0.01, 0.0, 0.99]]], np.float32), cell_statistics(spectrum)).argmax() == FIELD


# --- fitting


def chips() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Noisy chips: fields, roads through fields, rivers through fields."""
    rng = np.random.default_rng(3)
    spectrum, labels = [], []
    for label, thing in ((FIELD, GREEN_FIELD), (ROAD, ASPHALT), (WATER, DEEP_WATER)):
        for _ in range(12):
            chip = np.full((64, 64, 3), GREEN_FIELD)
            chip[:, 16:40] = thing
            spectrum.append(chip * rng.normal(1, 0.1, chip.shape))
            labels.append(label)
    return np.stack(spectrum), np.array(labels)


def test_classes_are_fitted_on_what_they_are_named_for() -> None:
    spectrum, labels = chips()
    prior = fit_nir_prior(spectrum, labels, 3, roles=ROLES, origin="noise")
    for label, pixel in ((FIELD, GREEN_FIELD), (ROAD, ASPHALT), (WATER, DEEP_WATER)):
        cell = cell_statistics(ground(pixel))
        assert prior.means[label] == pytest.approx((cell.ndvi[0, 0], cell.log_nir[0, 0]), abs=0.05)
        assert prior.log_likelihood(cell.ndvi, cell.log_nir)[0, 0].argmax() == label
    assert prior.origin == "noise"


def test_chips_without_data_do_not_count() -> None:
    spectrum, labels = chips()
    spectrum[3] = NAN
    alone = np.delete(spectrum, 3, axis=0), np.delete(labels, 3)
    assert fit_nir_prior(spectrum, labels, 3, roles=ROLES) == fit_nir_prior(*alone, 3, roles=ROLES)


def test_a_class_without_its_own_cells_is_refused() -> None:
    spectrum, labels = chips()
    spectrum[labels == WATER] = GREEN_FIELD
    with pytest.raises(DatasetError, match=r"class 2: expected at least 30 cells .* Received: 0"):
        fit_nir_prior(spectrum, labels, 3, roles=ROLES)


# --- in the card


@pytest.fixture
def card() -> ModelCard:
    return dataclasses.replace(FAKE_CARD, nir=ten(PRIOR))


def ten(prior: NirPrior) -> NirPrior:
    """The prior stretched over EuroSAT's ten classes."""
    return dataclasses.replace(
        prior, means=prior.means * 3 + prior.means[:1], covariances=(*prior.covariances * 3, prior.covariances[0])
    )


def test_a_prior_comes_back_from_the_card_as_it_was(card: ModelCard) -> None:
    back = ModelCard.from_json(card.to_json())
    assert back == card
    assert hash(back.nir) == hash(card.nir), "tuples all the way down"
    assert back.optional_bands == ("B08",)
    assert "optional  B08, as near-infrared prior" in describe(back)


def test_a_card_without_prior_names_none() -> None:
    assert "nir" not in json.loads(FAKE_CARD.to_json())
    assert ModelCard.from_json(FAKE_CARD.to_json()).nir is None
    assert FAKE_CARD.optional_bands == ()
    assert "optional  no further bands" in describe(FAKE_CARD)


def change_nir(**changes: Any) -> Callable[[dict[str, Any]], object]:
    return lambda card: card["nir"].update(changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["nir"]["means"].pop(), "of 10 classes. Received: 9 and 10"),
        (lambda c: c["nir"]["covariances"].pop(), "of 10 classes. Received: 10 and 9"),
        (
            lambda c: c["nir"]["means"].__setitem__(1, [0.1, NAN]),
            "two finite nir means and a 2x2 covariance of class 1",
        ),
        (lambda c: c["nir"]["means"].__setitem__(1, [0.1, 10**400]), "two finite nir means"),
        (lambda c: c["nir"]["means"].__setitem__(1, ["a", 1]), "two finite nir means"),
        (lambda c: c["nir"]["means"].__setitem__(1, [1]), "not usable"),
        (
            lambda c: c["nir"]["covariances"].__setitem__(2, [[1, 2], [2, 1]]),
            "positive definite nir covariance of class 2",
        ),
        (lambda c: c["nir"]["covariances"].__setitem__(2, [[1, 0], [0.5, 1]]), "positive definite"),
        (lambda c: c["nir"]["covariances"].__setitem__(2, [[0, 0], [0, 1]]), "positive definite"),
        (lambda c: c["nir"]["roles"].update(water=[10]), "class ids from 0 to 9"),
        (lambda c: c["nir"]["roles"].update(water=[True]), "class ids from 0 to 9"),
        (lambda c: c["nir"]["roles"].update(water=[]), "water and open land"),
        (lambda c: c["nir"]["roles"].update(road=[0], open_land=[0]), "each class once"),
        (lambda c: c["nir"]["roles"].update(sea=[1]), "not usable"),
        (lambda c: c["nir"].update(roles=[1]), "not usable"),
        (lambda c: c["nir"].pop("roles"), "lacks the entry 'roles'"),
        (lambda c: c.update(nir=["B08"]), "not usable"),
        (change_nir(weight=1.5), "nir weight from 0 to 1"),
        (change_nir(weight=None), "nir weight from 0 to 1"),
        (change_nir(freedom=0), "positive freedom"),
        (change_nir(level="L3"), "nir level L1C or L2A"),
        (change_nir(colour="red"), "not usable"),
        (lambda c: c["bands"][0].update(name="B08"), "B04 and B03 without B08"),
    ],
)
def test_priors_that_can_not_be_meant_are_refused(change: Any, message: str, card: ModelCard) -> None:
    content = json.loads(card.to_json())
    change(content)
    with pytest.raises(CardError, match=message) as caught:
        ModelCard.from_json(json.dumps(content), origin="card.json")
    assert "\n" not in str(caught.value)


def test_a_prior_is_attached_and_taken_away_and_weights_stay(small_model: Path) -> None:
    with zipfile.ZipFile(small_model) as archive:
        before = {name: archive.read(name) for name in archive.namelist()}
    attach_nir_prior(small_model, PRIOR)
    assert read_card(small_model).nir == PRIOR
    attach_nir_prior(small_model, None)
    with zipfile.ZipFile(small_model) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == before
    assert [p.name for p in small_model.parent.iterdir()] == ["small.keras"]


def test_a_prior_of_another_legend_is_not_attached(small_model: Path) -> None:
    before, weights = small_model.read_bytes(), weights_sha256(small_model)
    with pytest.raises(CardError, match=r"small\.keras: the near-infrared prior is not usable: .* of 3 classes"):
        attach_nir_prior(small_model, ten(PRIOR))
    assert small_model.read_bytes() == before
    assert weights_sha256(small_model) == weights
