"""What a user may choose about an architecture."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields

from landmap_models.errors import ModelError


@dataclass(frozen=True, slots=True)
class ArchitectureOptions:
    """Choices that some architectures know; None means the architecture's own.

    Raises:
        ModelError: A number that no architecture could take.
    """

    weights: str = "none"
    """"imagenet" (Keras's own download), "none", or a file of weights."""
    filters: tuple[int, ...] | None = None
    """Filters of each convolution (`cnn`), or of each stage (`compact`; fields of eight, `compact-d4`)."""
    pool: int | None = None
    """Side of the pooling windows in pixels (`cnn`)."""
    dense: int | None = None
    """Units of the dense layer before the last one."""
    dropout: float | None = None
    """Share of features dropped before the last layer while training, from 0 to below 1."""
    input_size: int | None = None
    """Height and width in pixels that chips are resized to inside the network."""

    def __post_init__(self) -> None:
        counts = {"pool": self.pool, "dense": self.dense, "input-size": self.input_size}
        for name, value in counts.items():
            if value is not None and value < 1:
                raise ModelError(f"--{name}: expected a whole number from 1 on. Received: {value}")
        if self.filters is not None and (not self.filters or min(self.filters) < 1):
            raise ModelError(f"--filters: expected whole numbers from 1 on, as in 16,8. Received: {self.filters}")
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise ModelError(f"--dropout: expected a share from 0 to below 1. Received: {self.dropout}")

    @property
    def pretrained(self) -> bool:
        """Whether the network starts from weights that were trained before."""
        return self.weights != "none"

    def refuse_others(self, architecture: str, known: Collection[str]) -> None:
        """Refuse choices that an architecture would silently ignore.

        Args:
            architecture: Its name.
            known: Names of the fields that it reads.

        Raises:
            ModelError: Another field was set.
        """
        for field in fields(self):
            if field.name not in known and getattr(self, field.name) != field.default:
                raise ModelError(
                    f"{architecture} has no option {_flag(field.name)}. Leave it away; "
                    f"it knows {', '.join(_flag(name) for name in sorted(known))}"
                )


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
