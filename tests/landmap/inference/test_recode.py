"""A map in another product's legend is the recoded map, and its confidence that of all classes that become one."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st

import landmap
from landmap.crosswalk import PRODUCTS, recode
from landmap.errors import ChunkError, LandmapWarning, SettingsError
from landmap.inference.plan import make_plan
from landmap.inference.stitch import cover, smooth_cover
from landmap.run.fingerprint import difference, fingerprint
from landmap_models.inference.classifier import FAKE_CARD
from landmap_models.legend import EUROSAT, NODATA, UNKNOWN_ID, legend_for
from landmap_models.model_file.card import ModelCard

Floats = npt.NDArray[np.float32]
BECOMES = {0: 40, 1: 10, 2: 30, 3: 50, 4: 50, 5: 30, 6: 40, 7: 50, 8: 80, 9: 80}
"""WorldCover's code of each class of the model."""
CARD = dataclasses.replace(FAKE_CARD, weights_sha256="2" * 64)


@dataclasses.dataclass
class Unsure:
    """Probabilities of all classes, by the colours of a chip; fails from the given call on."""

    fails_at: int = 10**6
    card: ModelCard = CARD
    calls: int = dataclasses.field(default=0, compare=False)

    def predict(self, chips: Floats) -> Floats:
        self.calls += 1
        if self.calls > self.fails_at:
            raise FloatingPointError("a cosmic ray")
        waves = np.sin(chips.mean(axis=(1, 2), dtype=np.float64) @ np.arange(30).reshape(3, 10) * 40)
        powers = np.exp(waves)
        return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def scene(write_scene: Callable[..., Path], ordinary: Callable[..., Any]) -> Path:
    values = ordinary(150, 210)
    values[:, :20, :30] = 0
    return write_scene(values, nodata=0, tags={"PROCESSING_LEVEL": "Level-1C", "RADIO_ADD_OFFSET": "0"})


def read(path: Path) -> npt.NDArray[np.uint8]:
    with rasterio.open(path) as file:
        return np.asarray(file.read())


def recoded(classes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The oracle: a finished map, pixel by pixel."""
    return np.vectorize(lambda value: BECOMES.get(value, value), otypes=[np.uint8])(classes)


@given(st.integers(0, 2**32 - 1), st.sampled_from(list(PRODUCTS)), st.booleans())
def test_decisions_equal_plain_loops(seed: int, legend: str, every: bool) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.random((4, 5, 10), np.float32)
    scores /= scores.sum(axis=-1, keepdims=True)
    how = recode(EUROSAT.names, legend)
    found = cover(scores, np.ones((4, 5), bool), 1, recode=how, keep_probabilities=every)
    for place in np.ndindex(4, 5):
        values = scores[place].astype(np.float64)
        best = int(values.argmax())
        alike = [i for i in range(10) if how.places[i] == how.places[best]]
        assert found.classes[place] == how.classes[how.places[best]].id
        assert abs(found.confidence[place] - 100 * values[alike].sum()) <= 0.5001
        if found.probabilities is not None:
            assert found.probabilities[how.places[best], *place] == found.confidence[place]
    assert (found.probabilities is None) == (not every)


@pytest.mark.parametrize("smooth", [False, True])
def test_the_map_is_the_recoded_map(smooth: bool, scene: Path, tmp_path: Path) -> None:
    files = {kind: tmp_path / f"{kind}.tif" for kind in ("own", "own_p", "cover", "c", "p", "cut")}
    how = {"stride": 8, "smooth": smooth, "classifier": Unsure()}
    landmap.classify(scene, files["own"], probabilities=files["own_p"], **how)
    how |= {"legend": "worldcover"}
    result = landmap.classify(scene, files["cover"], confidence=files["c"], probabilities=files["p"], **how)
    landmap.classify(scene, files["cut"], chunk=64, **how)
    assert files["cut"].read_bytes() == files["cover"].read_bytes(), "however it is cut"
    own, found, confidence = (read(files[name])[0] for name in ("own", "cover", "c"))
    np.testing.assert_array_equal(found, recoded(own))
    valid, layers = found != NODATA, read(files["p"])
    order = [10, 30, 40, 50, 80]
    assert len(layers) == len(order)
    np.testing.assert_array_equal(confidence[valid], layers[np.searchsorted(order, found[valid]), *np.nonzero(valid)])
    singles = read(files["own_p"]).astype(int)
    for layer, code in zip(layers, order, strict=True):
        parts = [singles[i][valid] for i, other in BECOMES.items() if other == code]
        assert np.abs(layer[valid] - np.sum(parts, axis=0)).max() <= 2, "sums of numbers that are not rounded yet"
    assert (layers[:, ~valid] == NODATA).all()
    assert [c.id for c in result.classes] == order


def test_a_map_of_pixels_is_recoded_the_same_way() -> None:
    rng = np.random.default_rng(0)
    chips, factors, valid = rng.random((3, 3, 10), np.float32), rng.random((10, 16, 16), np.float32), np.eye(16) == 0
    own = smooth_cover(chips, (1, 1), valid, 8, factors=factors, keep_probabilities=True)
    how = recode(EUROSAT.names, "worldcover")
    found = smooth_cover(chips, (1, 1), valid, 8, factors=factors, recode=how, keep_probabilities=True)
    np.testing.assert_array_equal(found.classes, recoded(own.classes))
    assert own.probabilities is not None
    assert found.probabilities is not None
    assert found.probabilities.shape == (5, 16, 16)
    assert (found.confidence[valid] >= own.confidence[valid]).all()
    np.testing.assert_array_equal(found.confidence[~valid], NODATA)


def test_what_is_unknown_goes_by_the_sum(scene: Path, tmp_path: Path) -> None:
    how = {"stride": 8, "classifier": Unsure(), "legend": "worldcover"}
    landmap.classify(scene, tmp_path / "all.tif", confidence=tmp_path / "c.tif", **how)
    landmap.classify(scene, tmp_path / "cover.tif", unknown_below=40, **how)
    everything, confidence = read(tmp_path / "all.tif"), read(tmp_path / "c.tif")
    doubtful = (confidence < 40) & (everything != NODATA)
    assert 0 < doubtful.sum() < doubtful.size
    np.testing.assert_array_equal(read(tmp_path / "cover.tif"), np.where(doubtful, UNKNOWN_ID, everything))


def test_names_colours_and_nodata_follow_the_legend(scene: Path, tmp_path: Path) -> None:
    path, table, polygons = tmp_path / "cover.tif", tmp_path / "areas.csv", tmp_path / "cover.gpkg"
    derived = landmap.Derived(vector=polygons, summary=table, vector_settings=landmap.VectorSettings(cells=True))
    page, layers = tmp_path / "page.html", tmp_path / "p.tif"
    how = {"classifier": Unsure(), "legend": "dynamicworld", "stride": 16}
    landmap.classify(scene, path, probabilities=layers, derived=derived, report=page, **how)
    order = {0: "water", 1: "trees", 2: "grass", 4: "crops", 6: "built"}
    with rasterio.open(path) as file:
        assert file.nodata == NODATA, "0 is Dynamic World's water"
        assert {str(i): name for i, name in order.items()} == json.loads(file.tags()["LANDMAP_LEGEND"])
        assert file.tags()["LANDMAP_RECODED"].startswith("Dynamic World: 0 water: River, SeaLake; 1 trees: Forest; ")
        assert [file.colormap(1)[i][:3] for i in (0, 6)] == [(0x41, 0x9B, 0xDF), (0xC4, 0x28, 0x1B)]
    with rasterio.open(layers) as file:
        assert file.descriptions == tuple(order.values())
    assert '#419bdf" value="0" alpha="255" label="water"' in _sorted_qml(path.with_suffix(".qml"))
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert {int(row["class_id"]): row["name"] for row in rows if row["class_id"] != "255"} == order
    geopandas = pytest.importorskip("geopandas")
    assert set(geopandas.read_file(polygons, layer="cover")["name"]) <= set(order.values())
    assert "flooded_vegetation" not in page.read_text()
    assert "Dynamic World: 0 water" in page.read_text()


def _sorted_qml(path: Path) -> str:
    """Entries with their attributes in one order."""
    from xml.etree import ElementTree

    entries = ElementTree.parse(path).iter("paletteEntry")
    return "\n".join(" ".join(f'{k}="{e.get(k)}"' for k in ("color", "value", "alpha", "label")) for e in entries)


def test_a_run_in_another_legend_is_not_gone_on_with(scene: Path, tmp_path: Path) -> None:
    how = {"stride": 64, "chunk": 64, "threads": 1}
    path, whole = tmp_path / "cover.tif", tmp_path / "whole.tif"
    landmap.classify(scene, whole, classifier=Unsure(), legend="corine1", **how)
    with pytest.raises(ChunkError, match="cosmic ray"):
        landmap.classify(scene, path, classifier=Unsure(5), legend="worldcover", **how)
    with (
        pytest.warns(LandmapWarning, match=r"made with other settings \(legend\): starting over"),
        pytest.raises(ChunkError),
    ):
        landmap.classify(scene, path, classifier=Unsure(5), legend="corine1", **how)
    assert landmap.classify(scene, path, classifier=Unsure(), legend="corine1", **how).reused == 5
    assert path.read_bytes() == whole.read_bytes()
    plans = [make_plan(scene, card=CARD, legend=legend) for legend in (None, "corine1")]
    one, other = (fingerprint(plan, "float32", "cpu", keep_probabilities=False) for plan in plans)
    assert difference(one, other) == "with other settings (legend)"


def test_the_plan_says_what_becomes_what(scene: Path) -> None:
    plan = make_plan(scene, card=CARD, legend="corine1")
    assert "legend   CORINE Land Cover, level 1: 1 Artificial surfaces: Highway, Industrial, Residential; " in str(plan)
    assert plan.to_dict()["legend"].endswith("5 Water bodies: River, SeaLake")
    assert make_plan(scene, card=CARD).to_dict()["legend"] is None


def test_a_model_with_classes_of_its_own_is_refused(scene: Path) -> None:
    card = dataclasses.replace(CARD, legend=legend_for(("Forest", "Vineyard", "Glacier")))
    with pytest.raises(SettingsError, match="Vineyard, Glacier have no counterpart there: leave --legend out"):
        make_plan(scene, card=card, legend="worldcover")
    with pytest.raises(SettingsError, match="legend: expected worldcover, dynamicworld, corine1"):
        make_plan(scene, card=card, legend="nlcd")  # type: ignore[arg-type] # on purpose
