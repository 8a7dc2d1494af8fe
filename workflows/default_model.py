"""The recipe of the packaged model in three steps: a first network, a teacher, and the first taught by the second.

    python workflows/default_model.py eurosat-rgb.zip efficientnet_lite0_imagenet.npz eurosat-ms.zip folder/

writes first.keras, teacher.keras and compact-eurosat-rgb.keras to the folder, each with `<name>.history.csv` beside it,
a near-infrared prior into the card of the last (see `nir_prior.py`), and a report of it on its test part, with figures.
The weights of the last are rounded to bfloat16, so that maps in bfloat16 agree with float32. All three have the same
seed and so the same split: no network was trained on the test part, and none was chosen by it. It takes three hours on
two cores. Started again, the script skips finished networks, and resumes a killed training after its last epoch.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from nir_prior import add_prior

from landmap_models import TrainSettings, evaluate, train

SEED = 1
"""Seed of all three trainings."""
FIRST = TrainSettings(name="first", epochs=90, seed=SEED)
TEACHER = TrainSettings(
    name="teacher",
    architecture="efficientnet-lite0",
    head_epochs=1,
    head_learning_rate=2e-3,
    epochs=6,
    batch_size=64,
    learning_rate=1e-3,
    warmup_epochs=0.5,
    weight_decay=0.02,
    ema_momentum=0.99,
    augment=("d4", "haze", "jitter"),
    seed=SEED,
)
TAUGHT = TrainSettings(
    name="compact-eurosat-rgb",
    description=(
        "The class of a 64x64 px chip from true colour; on maps, near infrared corrects it where a scene has B08. "
        "Trained on European L1C chips without cloud or snow. What is wrong with its maps: clouds are Industrial or "
        "HerbaceousVegetation, their shadows SeaLake or Forest; without B08 dark green fields and riverside woods pass "
        "for River; with it, riverside woods become Pasture and a shallow brown lake HerbaceousVegetation; Highway "
        "spreads over junctions and the land beside them; bare fields pass for PermanentCrop; narrow rivers and roads "
        "are judged by their 640 m neighbourhood. Not made for places outside Europe, nor for winter."
    ),
    licence="Apache-2.0",
    epochs=64,
    learning_rate=1.5e-3,
    label_smoothing=0.0,
    frozen_norm=False,
    teacher_temperature=2.0,
    round_weights=True,
    seed=SEED,
)


def main() -> None:
    """Train, add the prior and evaluate for the arguments of the command line."""
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    chips, weights, nir, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])
    folder.mkdir(exist_ok=True)
    first, teacher, taught = (folder / f"{s.name}.keras" for s in (FIRST, TEACHER, TAUGHT))
    for path, settings in (
        (first, FIRST),
        (teacher, replace(TEACHER, weights=weights)),
        (taught, replace(TAUGHT, start_from=str(first), teacher=str(teacher))),
    ):
        if not path.exists():
            train(chips, path, settings, resume=True)
    add_prior(nir, taught)
    evaluate(taught, chips, folder / "report", part="test", overwrite=True)


if __name__ == "__main__":
    main()
