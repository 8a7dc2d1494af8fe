"""What the commands about finished maps print."""

from __future__ import annotations

from landmap.accuracy import Assessment, Estimate
from landmap.assess import CENSUS
from landmap.change import Change
from landmap.terminal import out, print_columns


def print_assessment(found: Assessment) -> None:
    """Overall accuracy, a line for each class, and the confusion matrix."""
    kind = "all pixels, nothing to estimate" if found.design == CENSUS else found.design
    read = f"; {found.places}" if found.places else ""
    out.print(f"{found.cover} against {found.reference}: {found.samples:,} places ({kind}){read}", markup=False)
    out.print(f"overall accuracy {_percent(found.overall)}; ± is the 95 % interval", markup=False)
    classes = [c for c in found.classes if c.samples or c.reference_samples or c.mapped_hectares]
    lines = [["class", "samples", "user's accuracy", "producer's accuracy", "mapped ha", "estimated ha"]]
    for c in classes:
        numbers = _percent(c.users), _percent(c.producers), f"{c.mapped_hectares:,.1f}", _hectares(c.hectares)
        lines.append([c.name, f"{c.samples:,}", *numbers])
    print_columns(lines, left=1)
    out.print("\nplaces by class of the map (rows) and of the reference (columns)")
    lines = [["", *(c.name for c in classes)]]
    place = {c.id: i for i, c in enumerate(found.classes)}
    lines += [[c.name, *(f"{found.confusion[place[c.id]][place[other.id]]:,}" for other in classes)] for c in classes]
    print_columns(lines, left=1)


def _percent(e: Estimate) -> str:
    if e.value is None:
        return "-"
    return f"{100 * e.value:.1f} %" + ("" if e.half_width is None else f" ± {100 * e.half_width:.1f}")


def _hectares(e: Estimate) -> str:
    if e.value is None:
        return "-"
    return f"{e.value:,.1f}" + ("" if e.half_width is None else f" ± {e.half_width:,.1f}")


def print_change(found: Change) -> None:
    """The transition matrix in hectares, and how much has changed."""
    present = [i for i, row in enumerate(found.pixels) if any(row) or any(other[i] for other in found.pixels)]
    matrix = found.hectares()
    lines = [["before \\ after, ha", *(found.names[i] for i in present)]]
    lines += [[found.names[i], *(f"{matrix[i][j]:,.1f}" for j in present)] for i in present]
    print_columns(lines, left=1)
    share = "" if found.changed_share is None else f" ({100 * found.changed_share:.1f} %)"
    out.print(
        f"{found.changed_hectares:,.1f} of {found.compared_hectares:,.1f} ha have another class{share}; Unknown in "
        f"one {found.unknown_hectares:,.1f} ha, no data in one {found.nodata_hectares:,.1f} ha",
        markup=False,
    )
