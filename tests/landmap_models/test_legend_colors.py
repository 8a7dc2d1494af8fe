"""Classes get the colours of what their names mean, and no two classes the same."""

from __future__ import annotations

import colorsys

import pytest

from landmap_models.legend import EUROSAT, PALETTE, color_of, legend_for


@pytest.mark.parametrize(
    ("words", "low", "high"),
    [
        (("Water", "Gewässer", "lac", "Agua", "água", "acqua", "rivier", "Seen", "Lakes"), 0.5, 0.7),
        (("forest", "Nadelwald", "FORÊT", "bosque", "Floresta", "bosco", "bos", "Auwälder", "árboles"), 0.3, 0.45),
    ],
)
def test_colors_follow_the_meaning_in_seven_languages(words: tuple[str, ...], low: float, high: float) -> None:
    """The hue of a colour, independent of the table: blue for water, green for forest."""
    for word in words:
        color = color_of(word)
        if word == "Auwälder":  # an umlaut in the plural is another word
            assert color is None
            continue
        assert color is not None, word
        hue = colorsys.rgb_to_hsv(*(int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)))[0]
        assert low < hue < high, word


@pytest.mark.parametrize("name", ["no forest", "kein Wald", "sans eau", "forest road", "deforestation", "7", "", "Ü"])
def test_names_that_deny_or_mean_two_things_are_not_guessed(name: str) -> None:
    assert color_of(name) is None


def test_no_color_comes_twice() -> None:
    many = legend_for(("lake", "river", "sea", "ocean", "pond", "water", "agua", *(f"c{i}" for i in range(240))))
    assert len({c.color for c in many}) == len(many)


def test_names_that_are_not_known_have_the_palette_in_turn_and_eurosat_its_own() -> None:
    assert tuple(c.color for c in legend_for(tuple("abcdefghij"))) == PALETTE
    assert legend_for(EUROSAT.names) == EUROSAT


def test_a_color_that_is_almost_in_use_is_passed_over() -> None:
    """The palette's fourth colour is the red of built land to the eye."""
    colors = {c.name: c.color for c in legend_for(("water", "forest", "built", "other"))}
    assert colors["other"] not in (PALETTE[3], *(colors[name] for name in ("water", "forest", "built")))
