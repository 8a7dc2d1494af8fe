"""A further network of a model that answers for single chips: what the card says of it.

The network that maps are made with is small, as it runs on every place of a scene. Single chips are few: a larger
network in the same file answers for them, too, and

    p(class | chip) = (1 - weight) * p of the first network + weight * p of the further one

Maps do not use it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ChipPart:
    """The further network for chips, which lies in the same model file, and its say."""

    weight: float
    """Share of its probabilities in the average, above 0 and at most 1."""
    sha256: str
    """sha256 of the network's file inside the model file, as hexadecimal text."""
    origin: str = ""
    """Architecture and data that the network learned from, with their owners' names."""

    @classmethod
    def from_content(cls, content: Mapping[str, Any]) -> ChipPart:
        """Read a card's entry `chips`.

        Raises:
            TypeError: An entry is missing or unknown.
        """
        return cls(**content)

    def check(self) -> None:
        """Raise ValueError where values can't be meant."""
        if isinstance(self.weight, bool) or not isinstance(self.weight, int | float) or not 0 < self.weight <= 1:
            raise ValueError(f"Expected a weight of chips above 0 and at most 1. Received: {self.weight!r}")
