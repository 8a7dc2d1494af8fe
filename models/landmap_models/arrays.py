"""Types of NumPy arrays by what they hold; the shape is said where they are used."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
"""Reflectance, probabilities and whatever else comes in the precision of a network."""
Doubles = npt.NDArray[np.float64]
"""Coordinates, areas and statistics."""
AnyFloats = npt.NDArray[np.floating]
"""Real numbers of any precision."""
Ints = npt.NDArray[np.int64]
"""Counts and whole numbers."""
Indices = npt.NDArray[np.intp]
"""Places in an array; class ids, which are places in a legend."""
Bools = npt.NDArray[np.bool_]
"""Masks: True where something holds."""
Bytes = npt.NDArray[np.uint8]
"""Class ids of a map and 8-bit pictures."""
