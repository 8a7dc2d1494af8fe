"""An invented landscape is drawn in metres, layer over layer; `landmap.demo.example` makes a scene of it.

Each kind of surface has a mean reflectance, a direction in which its tone varies, and a texture. The numbers are
rounded from measurements on EuroSAT's chips, and tuned until a model trained on those recognised the land. The
landscape is a demonstration and a fixture for tests; accuracies on it say nothing of a model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from landmap_models.arrays import Bools, Bytes, Floats
from landmap_models.legend import EUROSAT

Int32 = npt.NDArray[np.int32]
Number = Floats | float
"""One number for all pixels, or one for each, `(height, width)`."""

BANDS = ("B02", "B03", "B04", "B08")
"""Bands in which surfaces have a reflectance."""
PIXEL = 10.0
"""Height and width of a pixel in metres."""

_FARM = 1250  # metres
_TOWN_SPACING = 7000  # metres; the first ones stand at these x, y:
_TOWN, _QUARTER, _LAKE = (4250, 4350), (5000, 3700), (4550, 1250)
_HIGHWAY_HALF_BAND = 160  # metres


@dataclass(frozen=True, slots=True)
class Surface:
    """Reflectance of a kind of surface, as DN = reflectance * 10000, in the order of `BANDS`."""

    mean: tuple[int, int, int, int]
    """Mean of each band."""
    spread: tuple[int, int, int, int]
    """DN that one unit of tone adds to each band."""
    coarse: float
    """Standard deviation of the tone over 50 to 180 m."""
    fine: float
    """Standard deviation of the tone from pixel to pixel."""


SURFACES = {
    "soil": Surface((1430, 1490, 1830, 2700), (190, 205, 300, 320), 0.20, 0.10),
    "crop": Surface((900, 900, 570, 3850), (50, 80, 75, 450), 0.25, 0.15),
    "stubble": Surface((1180, 1180, 1290, 2500), (100, 110, 180, 300), 0.20, 0.12),
    "meadow": Surface((915, 925, 625, 3450), (45, 60, 105, 330), 0.60, 0.35),
    "hedge": Surface((840, 780, 500, 2650), (30, 45, 45, 250), 0.30, 0.50),
    "scrub": Surface((1090, 1050, 1060, 2350), (105, 125, 190, 270), 0.60, 0.28),
    "orchard": Surface((1160, 1150, 1210, 2650), (130, 170, 265, 170), 0.25, 0.22),
    "track": Surface((1520, 1590, 1830, 2750), (120, 130, 180, 150), 0.30, 0.30),
    "forest": Surface((825, 695, 420, 2800), (14, 27, 23, 290), 0.65, 1.25),
    "garden": Surface((1040, 940, 760, 2500), (70, 85, 100, 400), 0.40, 0.60),
    "roof": Surface((1330, 1260, 1380, 2000), (200, 215, 270, 250), 0.20, 0.30),
    "asphalt": Surface((1230, 1120, 1090, 1600), (110, 120, 150, 180), 0.40, 0.60),
    "hall": Surface((1950, 1950, 2120, 2450), (560, 590, 650, 600), 0.05, 0.15),
    "road": Surface((1400, 1390, 1530, 1950), (120, 130, 160, 150), 0.20, 0.30),
    "river": Surface((1000, 880, 590, 450), (60, 75, 60, 60), 0.35, 0.15),
    "lake": Surface((820, 600, 360, 190), (28, 38, 24, 14), 0.20, 0.05),
}
"""Surfaces by name; numbers are rounded from clusters of the pixels of EuroSAT's classes."""

# Class; width and length of a plot and bend of its borders in metres; surfaces by their shares; strength of rows in
# them; surface and width of borders.
_FIELDS = (
    ("AnnualCrop", (170, 800, 10), ("crop", "stubble", "soil", "soil"), 0.12, "track", 7),
    ("Pasture", (270, 330, 60), ("meadow",), 0.0, "hedge", 16),
    ("AnnualCrop", (260, 560, 15), ("crop", "crop", "stubble", "soil", "soil"), 0.12, "track", 7),
    ("PermanentCrop", (130, 210, 25), ("meadow", "orchard", "orchard", "orchard", "orchard"), 0.3, "track", 9),
    ("HerbaceousVegetation", (400, 400, 0), ("scrub",), 0.0, "track", 0),
)

_SURFACE_ID = {name: i for i, name in enumerate(SURFACES)}
_CLASS_ID = {c.name: c.id for c in EUROSAT}


@dataclass(frozen=True, slots=True)
class Land:
    """A landscape while it is drawn; what is drawn covers what was there. Arrays are `(height, width)`, north up."""

    rng: np.random.Generator
    """Source of all random numbers."""
    size: int
    """Height and width in pixels."""
    truth: Bytes
    """Class id of each pixel."""
    surface: Bytes
    """Position in `SURFACES` of each pixel's surface."""
    tone: Floats
    """Difference of each pixel from the mean of its surface, in units of the surface's spread."""

    @property
    def metres(self) -> Floats:
        """Distance of each column from the western edge, or of each row from the northern, in metres, `(size,)`."""
        return np.arange(self.size, dtype=np.float32) * np.float32(PIXEL)

    def paint(self, where: Bools, surface: str, tone: Number = 0.0) -> None:
        """Draw a surface where a mask is True.

        Args:
            where: Mask `(height, width)`.
            surface: Name of the surface.
            tone: Difference from its mean in units of its spread.
        """
        self.surface[where] = _SURFACE_ID[surface]
        np.copyto(self.tone, tone, where=where)

    def classify(self, where: Bools, name: str) -> None:
        """Set the class, given its name, where a mask is True."""
        self.truth[where] = _CLASS_ID[name]

    def noise(self, metres: float) -> Floats:
        """Return a smooth random field, `(height, width)`, of mean 0 and standard deviation about 1.

        Args:
            metres: Distance between its hills in metres.
        """
        knots = math.ceil(self.size * PIXEL / metres) + 2
        away = np.abs(self.metres[:, None] / np.float32(metres) - np.arange(-0.5, knots - 1, dtype=np.float32))
        spline = np.where(away < 0.5, 0.75 - away**2, np.maximum(1.5 - away, 0) ** 2 / 2)  # quadratic B-spline
        heights = self.rng.standard_normal((knots, knots), np.float32)
        return np.float32(1.8) * (spline @ heights @ spline.T)  # the spline takes that much of the deviation


@dataclass(frozen=True, slots=True)
class Plots:
    """Plots between streets or field borders. Arrays are `(height, width)`."""

    margin: Floats
    """Distance of each pixel from the border of its plot in metres."""
    rows: Floats
    """A wave of 35 m across the plot, -1 to 1."""
    chance: Floats
    """A random number from 0 to 1, the same for all pixels of a plot."""
    tone: Floats
    """A random number from -1 to 1, the same for all pixels of a plot."""


def draw_land(size: int, rng: np.random.Generator) -> Land:
    """Draw a landscape with farms, forest, a town, a lake, a river and a highway.

    Args:
        size: Height and width in pixels.
        rng: Source of all random numbers.
    """
    shape = (size, size)
    land = Land(rng, size, np.zeros(shape, np.uint8), np.zeros(shape, np.uint8), np.zeros(shape, np.float32))
    for draw in (_farms, _scrub, _forest, _town, _quarter, _lake, _river, _highway):
        draw(land)
    return land


def _plots(land: Land, width: Number, length: Number, angle: Number, bend: Number, farm: Int32 | int = 0) -> Plots:
    """Divide the land into plots.

    Args:
        land: The invented landscape that is drawn.
        width: Width of a plot in metres.
        length: Length of a plot in metres.
        angle: Direction of the plots in radians.
        bend: Distance in metres by which borders differ from straight lines.
        farm: Number of the farm, on which the plots' random numbers depend.
    """
    x, y = _turned(land, angle, bend)
    column, x = np.divmod(x, width)  # from here on within the plot
    line, y = np.divmod(y + np.float32(0.37) * column * length, length)  # neighbours' cross borders are not in line
    key = (column.astype(np.int32) * 127 + line.astype(np.int32) * 1009 + farm * 31) % 8191
    del column, line  # the largest arrays at the same time are here
    chance, tone = land.rng.random((2, 8191), np.float32)
    wave = np.sin(x * np.float32(2 * math.pi / 35))
    return Plots(np.minimum(x, y), wave, chance[key], 2 * tone[key] - 1)


def _turned(land: Land, angle: Number, bend: Number) -> tuple[Floats, Floats]:
    """Return the metres of each pixel along axes that are turned by an angle in radians and bent by some metres."""
    x, y = land.metres + bend * land.noise(350), land.metres[:, None] + bend * land.noise(350)
    cos, sin = np.cos(angle, dtype=np.float32), np.sin(angle, dtype=np.float32)
    return x * cos + y * sin, y * cos - x * sin


def _distance(land: Land, first: tuple[float, float]) -> Floats:
    """Return metres to the nearest of places `_TOWN_SPACING` apart, `(height, width)`; the first is near `first`."""
    steps = range(math.ceil(land.size * PIXEL / _TOWN_SPACING) + 1)
    nearest = np.full((land.size, land.size), np.inf, np.float32)
    for across, down in ((i, j) for j in steps for i in steps):
        shift = land.rng.uniform(-1, 1, 2) * (1200 if across or down else 120)
        x, y = (np.add(first, shift) + np.multiply((across, down), _TOWN_SPACING)).tolist()
        np.minimum(nearest, np.hypot(land.metres - x, land.metres[:, None] - y), out=nearest)
    return nearest


def _from_line(land: Land, center: Floats) -> Floats:
    """Return metres from a line that runs south, `(height, width)`; `center` is its x in metres, `(height,)`."""
    slant = np.hypot(np.float32(1), np.gradient(center, np.float32(PIXEL)))
    return np.asarray(np.abs(land.metres - center[:, None]) / slant[:, None])


def _farms(land: Land) -> None:
    """Divide the land among farms, each with one class and one direction of its fields."""
    farm, kind = _farm_numbers(land)
    angle = land.rng.uniform(0, math.pi / 2, farm.max() + 1).astype(np.float32)
    width, length, bend = np.array([metres for _, metres, *_ in _FIELDS], np.float32).T
    plots = _plots(land, width[kind], length[kind], angle[farm], bend[kind], farm)
    for i, (name, _, surfaces, strength, border, margin) in enumerate(_FIELDS):
        where, tone = kind == i, 1.5 * plots.tone + np.float32(strength) * plots.rows
        land.classify(where, name)
        for j, surface in enumerate(surfaces):
            land.paint(where & (np.floor(plots.chance * len(surfaces)) == j), surface, tone)
        land.paint(where & (plots.margin < margin) & (plots.chance > 0.3), border)


def _farm_numbers(land: Land) -> tuple[Int32, Bytes]:
    """Return the farm of each pixel and its row in `_FIELDS`, `(height, width)`. A farm is a Voronoi cell."""
    from scipy.ndimage import distance_transform_edt

    side = math.ceil(land.size * PIXEL / _FARM)
    line, column = np.divmod(np.arange(side * side, dtype=np.int32), side)
    seats = np.stack([line, column]) + land.rng.uniform(0.1, 0.9, (2, side * side))
    row, col = np.minimum(seats * _FARM / PIXEL, land.size - 1).astype(int)
    farm = np.full((land.size, land.size), -1, np.int32)
    farm[row, col] = line * side + column
    farm = farm[tuple(distance_transform_edt(farm < 0, return_distances=False, return_indices=True))]
    # Knight's moves: a farm has all the other kinds around it, so that a small scene shows each.
    return farm, ((column + 2 * line) % len(_FIELDS)).astype(np.uint8)[farm]


def _scrub(land: Land) -> None:
    """Draw bushes, gullies and winding paths where herbs grow, and groups of trees in pastures."""
    where, relief = land.truth == _CLASS_ID["HerbaceousVegetation"], land.noise(420)
    gullies = np.abs(land.noise(110))  # small along branching lines
    land.paint(where, "scrub", 0.7 * relief + gullies - 0.8)
    land.paint(where & (np.abs(relief) < 0.03), "track", -1.0)
    land.paint((land.truth == _CLASS_ID["Pasture"]) & (land.noise(70) > 1.6), "hedge")


def _forest(land: Land) -> None:
    """Draw the large forest in the west and woods elsewhere, with few tracks."""
    edge, sweep = land.noise(300), land.noise(1500)
    where = (land.metres + 60 * edge + 250 * sweep < 1700) | (sweep + 0.1 * edge < -1.9)
    land.classify(where, "Forest")
    land.paint(where, "forest", 0.6 * land.noise(450))
    land.paint(where & (np.abs(land.noise(900)) < 0.006), "track", -3.0)


def _town(land: Land) -> None:
    """Draw towns: houses in gardens along streets."""
    where = _distance(land, _TOWN) + 160 * land.noise(500) < 800
    land.classify(where, "Residential")
    plots = _plots(land, 30, 38, 0.5, bend=15)
    land.paint(where, "garden", plots.tone)
    few_bright = 1.2 * plots.tone + 3 * plots.chance**12 - 0.5
    land.paint(where & (plots.chance > 0.4) & (plots.margin > 9), "roof", few_bright)
    streets = _plots(land, 85, 170, 0.5, bend=30).margin < 12
    land.paint(where & streets, "asphalt", -0.3)


def _quarter(land: Land) -> None:
    """Draw industrial quarters: halls and some lawns on asphalt."""
    where = _distance(land, _QUARTER) + 60 * land.noise(300) < 520
    land.classify(where, "Industrial")
    lots = _plots(land, 150, 105, 0.3, bend=0)
    land.paint(where, "asphalt", lots.tone)
    few_bright = 1.2 * lots.tone + 1.5 * lots.tone**6
    land.paint(where & (lots.margin > 10 + 40 * lots.chance), "hall", few_bright)
    land.paint(where & (lots.chance > 0.75), "garden")


def _lake(land: Land) -> None:
    """Draw lakes with bushes along their shores."""
    shore = _distance(land, _LAKE) + 110 * land.noise(600) - 780
    land.paint(shore < 9, "hedge")
    land.classify(shore < 0, "SeaLake")
    land.paint(shore < 0, "lake", 0.2 * land.noise(800))


def _river(land: Land) -> None:
    """Draw a meandering river, 150 to 400 m wide, with trees along its banks, which have the class River, too."""
    y, turn = land.metres, land.rng.uniform(0, 2 * math.pi, 3).astype(np.float32)
    middle = 2550 + 330 * np.sin(y / 560 + turn[0]) + 80 * np.sin(y / 230 + turn[1])
    bank = _from_line(land, middle) - (137.5 + 62.5 * np.sin(y / 900 + turn[2]))[:, None]
    rough = land.noise(200)
    land.paint(bank < 50 + 30 * rough, "hedge")
    land.paint(bank < 5 + 20 * rough, "track", -0.5)
    land.paint(bank < 0, "river")
    land.classify(bank < 40, "River")


def _highway(land: Land) -> None:
    """Draw a wide road with green verges.

    A chip of EuroSAT is Highway if a road crosses it, so the class is a band around the road, not the asphalt alone.
    """
    middle = 2850 + 260 * np.sin(land.metres / 1100 + np.float32(land.rng.uniform(0, 2 * math.pi)))
    distance = _from_line(land, middle).T
    for surface, half_width in (("garden", 40), ("road", 18)):
        land.paint(distance < half_width, surface)
    land.classify(distance < _HIGHWAY_HALF_BAND, "Highway")
