"""Random mixtures of a batch's chips and labels: side by side (`straddle`), on top of each other (`mixup`)."""

from __future__ import annotations

import numpy as np

from landmap_models.arrays import Floats

UNION_AREA = 0.25
"""Share of a window that a chip must fill for the window to get all classes of the chip."""


def straddle(
    chips: Floats, labels: Floats, rng: np.random.Generator, share: float = 0.25, union: float | None = None
) -> tuple[Floats, Floats]:
    """Cut some windows across the corner of four chips, with the label shared by area.

    Most windows that slide over a scene lie across borders.

    Sharing by area suits labels that name the one class that fills a chip. Where labels name every class in a chip,
    half a lake is still water, but a narrow strip of a chip need not hold all of its classes. `union` is for these: a
    window gets the classes of all chips of which it holds enough.

    Args:
        chips: Any values, `(n, size, size, bands)`: chips must be square.
        labels: Class probabilities, `(n, classes)`.
        rng: Source of randomness.
        share: Part of the chips that are replaced by straddling windows.
        union: Share of a window, such as `UNION_AREA`, from which on a chip in it contributes its labels, of which the
            largest count; the chip with the largest share always contributes. None: labels are shared by area.
    """
    size = chips.shape[1]
    out, out_labels = chips.copy(), labels.copy()
    for i in np.flatnonzero(rng.random(len(chips)) < share):
        row, col = rng.integers(0, size, 2)
        sources = [i, *rng.integers(0, len(chips), 3)]
        corners = [(r, c) for r in _halves(row, size) for c in _halves(col, size)]
        areas = []
        for source, ((into_rows, from_rows), (into_cols, from_cols)) in zip(sources, corners, strict=True):
            out[i, into_rows, into_cols] = chips[source, from_rows, from_cols]
            areas.append(out[i, into_rows, into_cols, 0].size / size**2)
        out_labels[i] = _shared(labels, sources, areas) if union is None else _united(labels, sources, areas, union)
    return out, out_labels


def _halves(cut: int, size: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Slices of the two parts of a window along one axis, and of the chips that they are cut from."""
    return (slice(0, cut), slice(size - cut, size)), (slice(cut, size), slice(0, size - cut))


def _shared(labels: Floats, sources: list[int], areas: list[float]) -> Floats:
    mixed: Floats = np.zeros_like(labels[0])
    for source, area in zip(sources, areas, strict=True):
        mixed += labels[source] * np.float32(area)
    return mixed


def _united(labels: Floats, sources: list[int], areas: list[float], least: float) -> Floats:
    """The maximum of the labels whose areas are large enough; a chip may lie in a window more than once."""
    chips, place = np.unique(sources, return_inverse=True)
    total = np.bincount(place, areas)
    united: Floats = labels[chips[total >= min(least, total.max()) - 1e-9]].max(axis=0)  # sums of areas are rounded
    return united


def mixup(chips: Floats, labels: Floats, rng: np.random.Generator, alpha: float = 0.2) -> tuple[Floats, Floats]:
    """Blend each chip with another of the batch, and their labels by the same share.

    After Zhang et al. 2018, arXiv 1710.09412, with a share for each pair where their code has one for the batch. Each
    chip keeps the larger share, so that an epoch still contains every chip. Labels that name several classes are
    blended in the same way.

    Args:
        chips: Reflectance, `(n, height, width, bands)`.
        labels: Class probabilities, `(n, classes)`.
        rng: Source of randomness.
        alpha: Both parameters of the beta distribution of the shares: near 0 most chips hardly change, at 1 every share
            is equally likely. The paper takes 0.1 to 0.4 for ImageNet.
    """
    n = len(chips)
    share, partner = rng.beta(alpha, alpha, n).astype(np.float32), rng.permutation(n)
    own = np.maximum(share, 1 - share)[:, None]
    other = 1 - own
    mixed = chips * own[..., None, None] + chips[partner] * other[..., None, None]
    return mixed, labels * own + labels[partner] * other
