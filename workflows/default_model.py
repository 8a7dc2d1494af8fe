"""The packaged model, trained anew.

    python workflows/default_model.py eurosat-rgb.zip compact-eurosat-rgb.keras

Takes an hour or more on two cores (88 minutes beside other work). A killed training goes on after its last epoch when
it is started again.
"""

from __future__ import annotations

import sys

from landmap_models.describe import describe
from landmap_models.train import TrainSettings, train

SETTINGS = TrainSettings(
    name="compact-eurosat-rgb",
    description=(
        "The class of a 64x64 px chip from true colour. Trained on European L1C chips without cloud or snow: clouds, "
        "shadows and snow have no class of their own, dark green fields and riverside woods pass for River, and narrow "
        "rivers and roads are judged by their 640 m neighbourhood."
    ),
    epochs=90,
    seed=1,
)


def main() -> None:
    """Read the arguments."""
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    print(describe(train(sys.argv[1], sys.argv[2], SETTINGS)))


if __name__ == "__main__":
    main()
