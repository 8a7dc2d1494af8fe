"""The classes of a model: ids, names and colours."""

from __future__ import annotations

import colorsys
import itertools
import math
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

MAX_CLASS_ID = 253
"""Highest class id of a model: 255 is nodata and 254 is kept for "Unknown"."""
UNKNOWN_ID = 254
"""Value of pixels of a map whose class is left open, as the model is not sure enough."""

COLOR = re.compile("#[0-9a-fA-F]{6}")
"""The form of a colour: red, green and blue as hexadecimal digits."""


@dataclass(frozen=True, slots=True)
class LandClass:
    """One class of a legend."""

    id: int
    """Class id, 0 to 253, or 254 for "Unknown". 0 is a class like any other."""
    name: str
    """Name of the class on maps and in tables."""
    color: str
    """Colour of the class on maps, as "#rrggbb"."""

    def __post_init__(self) -> None:
        if not 0 <= self.id <= UNKNOWN_ID:
            raise ValueError(f"Expected a class id from 0 to {UNKNOWN_ID}. Received: {self.id}")
        if not self.name:
            raise ValueError(f"Expected a name for class {self.id}. Received an empty one")
        if not COLOR.fullmatch(self.color):
            raise ValueError(f"Expected a colour like #1f6b2e for class {self.name}. Received: {self.color!r}")

    @property
    def rgb(self) -> tuple[int, int, int]:
        """Red, green and blue of the colour, 0 to 255."""
        return _rgb(self.color)


@dataclass(frozen=True, slots=True)
class Legend:
    """The classes of a model, in the order of its outputs: class id i is output i."""

    classes: tuple[LandClass, ...]

    def __post_init__(self) -> None:
        if [c.id for c in self.classes] != list(range(len(self.classes))):
            raise ValueError(f"Expected class ids 0, 1, 2 … in order. Received: {[c.id for c in self.classes]}")
        if len(self.classes) > MAX_CLASS_ID + 1:
            raise ValueError(f"Expected at most {MAX_CLASS_ID + 1} classes. Received: {len(self.classes)}")
        if len(set(self.names)) != len(self.classes):
            raise ValueError(f"Expected distinct class names. Received: {self.names}")

    def __len__(self) -> int:
        return len(self.classes)

    def __iter__(self) -> Iterator[LandClass]:
        return iter(self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """Class names in the order of their ids."""
        return tuple(c.name for c in self.classes)


UNKNOWN = LandClass(UNKNOWN_ID, "Unknown", "#8f8f8f")
"""The class of pixels that a map leaves open. It is no class of a model."""

EUROSAT = Legend(
    tuple(
        LandClass(i, name, color)
        for i, (name, color) in enumerate(
            (
                ("AnnualCrop", "#f2d16b"),
                ("Forest", "#1b6b35"),
                ("HerbaceousVegetation", "#9dbf5b"),
                ("Highway", "#5c5c66"),
                ("Industrial", "#a349a4"),
                ("Pasture", "#cfe8a0"),
                ("PermanentCrop", "#d98d3a"),
                ("Residential", "#d8463c"),
                ("River", "#4fb3e8"),
                ("SeaLake", "#1c4fa0"),
            )
        )
    )
)
"""EuroSAT's ten classes, alphabetical (Helber et al. 2019, arXiv 1709.00029)."""

PALETTE = ("#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#b07aa1", "#edc948", "#76b7b2", "#ff9da7", "#9c755f", "#bab0ac")
"""Colours of classes whose names say nothing, in turn."""
UNLIKE = 40
"""Least distance of a palette's colour, in RGB of 0 to 255, from one that is in use."""
MEANINGS = {
    "#1c4fa0": "water lake sea river ocean pond wasser see fluss meer gewasser teich eau lac riviere fleuve mer etang "
    "agua lago rio mar laguna acqua fiume mare meer rivier plas zee agua lagoa",
    "#1b6b35": "forest wood woodland tree wald baum laubwald nadelwald foret bois arbre bosque arbol floresta mata "
    "arvore foresta bosco albero bos loofbos naaldbos boom",
    "#cfe8a0": "grass grassland meadow pasture grunland wiese weide gras prairie paturage herbe prado pasto pradera "
    "pastagem relva prato pascolo grasland weiland",
    "#f2d16b": "crop cropland arable field farmland acker ackerland feld culture champ labour cultivo campo labranza "
    "cultura lavoura coltura seminativo campi akker akkerland bouwland",
    "#d8463c": "built builtup urban town city settlement residential house building siedlung stadt gebaude bebauung "
    "haus bebaut bati ville urbain maison ciudad urbano edificio casa cidade construido citta abitato edificato "
    "stad bebouwing bebouwd huis gebouw",
    "#5c5c66": "road street strasse route rue carretera calle estrada rua strada weg straat",
    "#b8a58a": "bare soil rock sand gravel boden fels kies nu sol roche sable suelo roca arena solo rocha areia suolo "
    "roccia sabbia bodem rots zand grind",
    "#e8f4fa": "snow ice glacier schnee eis gletscher neige glace nieve hielo glaciar neve gelo geleira ghiaccio "
    "ghiacciaio sneeuw ijs gletsjer",
    "#6fa8a0": "wetland marsh bog swamp moor sumpf moos marais tourbiere humedal pantano turbera pantanal turfeira "
    "palude torbiera moeras veen",
    "#a8a04a": "shrub scrub shrubland bush heath strauch gebusch heide buisson lande matorral arbusto brezal "
    "arbusteto brughiera cespuglio struik struikgewas",
    "#d98d3a": "vineyard vine orchard weinberg rebe obst vigne verger vina vinedo huerto vinha pomar vigneto "
    "frutteto wijngaard boomgaard",
    "#a349a4": "industry industrial industrie gewerbe industriel industria industriale industrieel",
}
"""Colours of land by the words for it, without accents.

They are English, German, French, Spanish, Portuguese, Italian and Dutch.
"""
_WORDS = {word: color for color, words in MEANINGS.items() for word in words.split()}
_NEGATIONS = {"no", "non", "not", "without", "kein", "keine", "nicht", "ohne", "pas", "sans", "sin", "sem", "nao"}
_NEGATIONS |= {"senza", "geen", "niet", "zonder"}


def legend_for(names: tuple[str, ...]) -> Legend:
    """The legend of class names: EuroSAT's colours for its classes, others by what they mean, or distinct ones.

    Args:
        names: Class names in the order of the model's outputs.
    """
    own = {c.name: c.color for c in EUROSAT if c.name in names}
    for place in sorted(range(len(names)), key=lambda i: color_of(names[i]) is None):  # those that mean something first
        if names[place] not in own:
            own[names[place]] = _free(names[place], place, set(own.values()))
    return Legend(tuple(LandClass(i, name, own[name]) for i, name in enumerate(names)))


def _free(name: str, place: int, taken: set[str]) -> str:
    """The best colour for a class that is not taken, and not much like one that is."""
    meant = color_of(name)
    if meant is not None and (free := [color for color in _shades(meant) if color not in taken]):
        return free[0]
    turn = place % len(PALETTE)
    colors = [color for color in PALETTE[turn:] + PALETTE[:turn] if color not in taken]
    unlike = [color for color in colors if all(math.dist(_rgb(color), _rgb(other)) >= UNLIKE for other in taken)]
    return next(color for color in itertools.chain(unlike, colors, _hues()) if color not in taken)


def _shades(color: str) -> Iterator[str]:
    """A colour, and lighter and darker ones."""
    yield color
    for other, share in ((255, 0.35), (0, 0.35), (255, 0.6), (0, 0.6)):
        yield _hex(*((1 - share) * part + share * other for part in _rgb(color)))


def _hues() -> Iterator[str]:
    """Colours without end: by the golden angle, hues of neighbours are far apart."""
    for step in itertools.count():
        parts = colorsys.hsv_to_rgb(step * 0.618034 % 1, 0.35 + 0.15 * (step % 4), 0.85)
        yield _hex(*(255 * part for part in parts))


def _rgb(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def _hex(red: float, green: float, blue: float) -> str:
    return f"#{round(red):02x}{round(green):02x}{round(blue):02x}"


def color_of(name: str) -> str | None:
    """The colour of what a class's name means in one of seven languages; None where it is not known.

    A name that denies something, or has words of several meanings, is not known. Long words may end in a known one, as
    German ones do ("Auwald").
    """
    letters = unicodedata.normalize("NFKD", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("ß", "ss").casefold())
    words = re.findall(r"[a-z]+", "".join(c for c in letters if not unicodedata.combining(c)))
    if _NEGATIONS.intersection(words):
        return None
    found = {color for word in words if (color := _of_word(word)) is not None}
    return found.pop() if len(found) == 1 else None


def _of_word(word: str) -> str | None:
    """The colour of a word, in the singular or the plural, or of the known word that it ends in."""
    for ending in ("", "s", "es", "n", "en"):
        if (color := _WORDS.get(word.removesuffix(ending))) is not None:
            return color
    if word.startswith(("de", "ent")):  # deforestation, Entwaldung
        return None
    ends = [known for known in _WORDS if len(known) > 3 and word.endswith(known)]
    return _WORDS[max(ends, key=len)] if ends else None


NODATA = 255
"""Value of pixels without data in every raster that landmap writes."""
