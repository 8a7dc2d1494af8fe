"""Rasters as images inside a page: `data:` addresses."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from landmap.pictures import UInt8
from landmap.style import RAMP


def photo(picture: UInt8) -> str:
    """Red, green, blue and opacity `(height, width, 4)` as WebP, a tenth the size of a PNG."""
    from PIL import Image

    return _address(Image.fromarray(picture), "webp", quality=82, method=4)


def palette_image(values: UInt8, colors: Mapping[int, tuple[int, int, int]]) -> str:
    """Values `(height, width)` by their colours, exactly; what has none is transparent."""
    from PIL import Image

    image = Image.fromarray(values)
    image.putpalette([part for i in range(256) for part in colors.get(i, (0, 0, 0))])
    return _address(image, "png", transparency=bytes(255 if i in colors else 0 for i in range(256)))


def percent_colors() -> dict[int, tuple[int, int, int]]:
    """Colours of 0 to 100 percent."""
    stops = np.array([[int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in RAMP.values()])
    parts = [np.interp(np.arange(101), list(RAMP), stops[:, i]).round().astype(int).tolist() for i in range(3)]
    return dict(enumerate(zip(*parts, strict=True)))


def _address(image: Any, kind: str, **how: Any) -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind, **how)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
