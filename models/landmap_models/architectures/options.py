"""The options of networks, declared once: trainings, comparisons and the command line all read them here."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, fields
from typing import Any

from landmap_models.errors import ModelError


def _option(default: Any, text: str, metavar: str | None = None) -> Any:
    """Declare an option.

    Args:
        default: The value where nothing is chosen; None leaves the choice to the architecture.
        text: The help text of the command line.
        metavar: What stands for a value there; None leaves it to the type.
    """
    return field(default=default, metadata={"help": text, "metavar": metavar})


@dataclass(frozen=True, slots=True)
class ArchitectureOptions:
    """Choices that some architectures have. None leaves the choice to the architecture.

    Each architecture names those that it reads in its `OPTIONS`.

    Raises:
        ModelError: A number that no architecture could take.
    """

    weights: str = _option(
        "none",
        "Weights that the base of the network starts from: imagenet (downloaded by Keras), none, or a file.",
        "imagenet|none|FILE",
    )
    filters: tuple[int, ...] | None = _option(
        None, "Filters of each convolution (cnn) or of each stage (compact, compact-d4).", "N,N,…"
    )
    pool: int | None = _option(None, "Side of the pooling windows in pixels (cnn).")
    dense: int | None = _option(None, "Units of a dense layer before the last layer.")
    dropout: float | None = _option(
        None, "Share of features that are dropped before the last layer in training, from 0 to below 1."
    )
    input_size: int | None = _option(None, "Height and width in pixels to which the network enlarges chips.")

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
            architecture: Name of the architecture.
            known: Names of the fields that the architecture reads.

        Raises:
            ModelError: Another field was set.
        """
        for option in fields(self):
            if option.name not in known and getattr(self, option.name) != option.default:
                raise ModelError(
                    f"{architecture} has no option {_flag(option.name)}. Leave it away; "
                    f"it knows {', '.join(_flag(name) for name in sorted(known))}"
                )


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
