"""The commands about models: list, describe, compare and evaluate them, and classify single chips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from landmap.cli.help import OVERWRITE, QUIET, Command, Group, with_options
from landmap.cli.messages import print_warnings
from landmap.cli.train import COMMANDS as TRAINING
from landmap.cli.train import refused_as_settings, start_keras
from landmap.cli.train_options import (
    BUDGET_OPTIONS,
    CHIP_OPTIONS,
    DATA_OPTIONS,
    DESCRIBE_OPTIONS,
    FILE_OPTIONS,
    LABEL_OPTIONS,
    SPLIT_OPTIONS,
)
from landmap.cli.types import FILE_OR_NAME, PATH, ListType
from landmap.errors import SettingsError
from landmap_models.errors import ModelError


@click.group(cls=Group, invoke_without_command=True)
@click.pass_context
def models(context: click.Context) -> None:
    """List the models that are known by name; get further ones; show or write the card of a model."""
    if context.invoked_subcommand is not None:
        return
    from landmap_models.model_file.archive import read_card
    from landmap_models.model_file.packaged import DEFAULT, packaged_models, user_models

    packaged = packaged_models()
    for name, path in {**packaged, **user_models(), **packaged}.items():
        card = read_card(path)
        accuracy = card.metrics.get("accuracy", {}).get("value")
        quality = f", accuracy {100 * accuracy:.1f} % ({card.metrics['split']})" if accuracy else ""
        mark = " (default)" if name == DEFAULT else ""
        click.echo(f"{name} {card.version}{mark}: {', '.join(card.band_names)}, {len(card.legend)} classes{quality}")


@models.command(example="landmap models show default")
@click.argument("model", type=FILE_OR_NAME)
@click.option("--json", "as_json", is_flag=True, help="Print the whole card as JSON.")
def show(model: str, as_json: bool) -> None:
    """Print the card of MODEL, a packaged name or a .keras file."""
    from landmap_models.model_file.archive import read_card
    from landmap_models.model_file.card import describe
    from landmap_models.model_file.packaged import find_model

    card = read_card(find_model(model))
    click.echo(card.to_json() if as_json else describe(card))


@models.command(example="landmap models fetch dynamic-world")
@click.argument("name", type=click.Choice(["dynamic-world"]))
@click.option("--from", "folder", type=PATH, help="Take this copy of Google's SavedModel (model/forward).")
@click.option("--overwrite", is_flag=True, help="Replace the model where it was fetched before.")
def fetch(name: str, folder: Path | None, overwrite: bool) -> None:
    """Get the public model NAME, and write it to your folder of models.

    Dynamic World (Google, Apache-2.0) gives nine classes to each pixel, from nine bands of Level-1C. It is no part of
    landmap. It is rebuilt from its published weights; its program is not run.
    """
    start_keras()
    from landmap_models.foreign import dynamic_world

    click.echo(str(dynamic_world.fetch(folder, overwrite=overwrite)))
    click.echo(dynamic_world.NOTICE.strip())


@models.command(
    "import",
    example="landmap models import saved_model/ --card card.json --softmax",
)
@click.argument("folder", type=PATH)
@click.option("--card", type=PATH, required=True, help="Take this card, as `models show --json` prints one.")
@click.option("--signature", default="serving_default", show_default=True, help="Take the function of this signature.")
@click.option("--softmax", is_flag=True, help="Add a softmax, where the model answers with logits.")
@click.option("-o", "--output", type=PATH, help="Write this file, and not one in your folder of models.")
@click.option("--overwrite", is_flag=True, help="Replace a file that exists.")
def import_model(folder: Path, card: Path, **options: Any) -> None:
    """Make a model file of FOLDER, a TensorFlow SavedModel of others.

    Its program is not run: the function of one signature is taken over if all of its operations only compute. What may
    touch files, network or Python is refused by name.
    """
    from landmap_models.model_file.card import ModelCard

    try:
        text = card.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{card}: can't be read as text: {error}") from error
    described = ModelCard.from_json(text, str(card))
    start_keras()
    from landmap_models.foreign.saved_model import import_saved_model

    click.echo(str(import_saved_model(folder, described, **options)))


@models.command(
    "describe",
    example="landmap models describe m.keras --bands B04,B03,B02 --classes water,forest,town --level L1C \\\n"
    "  --chips chips/ -o described.keras",
)
@click.argument("file", type=FILE_OR_NAME)
@click.option(
    "--card",
    type=click.Path(),
    help="Take this card of the same weights, as `models show --json` prints it; - reads a pipe.",
)
@click.option("-o", "--output", type=PATH, help="Write this file, and leave FILE as it is.")
@click.option("--overwrite", is_flag=True, help="Replace a file that exists, or the card in FILE.")
@with_options(DESCRIBE_OPTIONS, CHIP_OPTIONS)
def describe_model(file: str, card: str | None, output: Path | None, overwrite: bool, **options: Any) -> None:
    """Put a model card into FILE, a .keras file.

    The card is one that you have (--card), or is made of your description of the model and of what is measured on
    chips.
    """
    from landmap_models.evaluation.describe import describe_file, put_card
    from landmap_models.model_file.card import describe

    if card is not None:
        given = sorted(f"--{name.replace('_', '-')}" for name, value in options.items() if value)
        if given:
            raise click.UsageError(f"--card says all of it: leave out {', '.join(given)}, or --card.")
        written = put_card(file, card, output=output, overwrite=overwrite)
        click.echo(f"{output or file}: {written.name} {written.version}, weights {written.weights_sha256[:12]}")
        return
    how = {name: options.pop(name) for name in ("template", "chips", "file_bands", "skip_bad")}
    start_keras()
    from landmap_models.evaluation.described_card import Given

    name = options.pop("name") or (output or Path(file)).stem
    found = describe_file(file, Given(name, **options), output=output, overwrite=overwrite, **how)
    print_warnings(found.warnings)
    click.echo(describe(found.card))


@click.command(cls=Command, example="landmap compare chips/ --arch compact,cnn -o comparison/ --epochs 10")
@click.argument("data", type=PATH)
@click.option("--arch", "architectures", type=ListType(), help="Compare these architectures, such as compact,cnn.")
@click.option(
    "--networks", type=click.Path(), help="Compare the networks that this YAML or JSON file lists; see above."
)
@click.option("-o", "--output", required=True, type=PATH, help="Write the report to this folder.")
@OVERWRITE
@with_options(DATA_OPTIONS, SPLIT_OPTIONS, BUDGET_OPTIONS)
def compare(
    data: Path,
    architectures: tuple[str, ...] | None,
    networks: str | None,
    output: Path,
    overwrite: bool,
    **options: Any,
) -> None:
    r"""Train several networks on DATA under one budget, and write one table.

    Networks are named by --arch, or listed with their settings in a file for --networks. Its entries are mappings, such
    as these two of a YAML file; what an entry says counts more than an option of the command line:

    \b
      - {name: small, architecture: cnn, filters: [16, 8], dense: 32}
      - {name: tuned, architecture: mobilenet, weights: imagenet, unfreeze: 20}

    Started again after it was stopped, it goes on where it was.
    """
    from landmap.cli.show import print_comparison, training_lines

    if architectures is None and networks is None:
        raise click.UsageError("Missing option '--arch' or '--networks'.")
    from landmap_models.evaluation.networks import networks_of

    workers = options.pop("workers")
    with refused_as_settings():
        given = {name: value for name, value in options.items() if value is not None}
        chosen = networks_of(architectures or (), networks, given)
    start_keras()
    from landmap_models.evaluation.compare import compare as run

    how = {"overwrite": overwrite, "workers": workers, "verbose": training_lines()}
    found = run(data, chosen, output, begin=lambda name: click.echo(f"\n{name}"), **how)
    print_warnings(found.warnings)
    print_comparison(found)


@click.command(cls=Command, example="landmap evaluate model.keras chips/ -o report/ --part test")
@click.argument("model", type=FILE_OR_NAME)
@click.argument("data", type=PATH)
@click.option("-o", "--output", required=True, type=PATH, help="Write the report to this folder.")
@click.option(
    "--part",
    type=click.Choice(["train", "validation", "test"]),
    help="Measure only on this part of the split that the model was trained with.",
)
@click.option("--beta", type=float, default=2.0, show_default=True, help="Weight of recall in the F-beta score.")
@with_options(FILE_OPTIONS, LABEL_OPTIONS)
@OVERWRITE
@QUIET
def evaluate(model: str, data: Path, output: Path, labels: Path | None, quiet: bool, **options: Any) -> None:
    """Measure MODEL on labelled chips, or, if it answers for each pixel, on images with masks, and write a report.

    The chips or images in DATA should not have been used to train the model.
    """
    from landmap.cli.show import print_evaluation, progress_bar
    from landmap_models.evaluation.evaluate import evaluate as run

    opened = data if labels is None else _scene_of(model, data, labels, options)
    with progress_bar("predicting", "chips", quiet=quiet) as progress:
        found = run(model, opened, output, progress=progress, **options)
    print_warnings(found.warnings)
    if not quiet:
        print_evaluation(found)


def _scene_of(model: str, scene: Path, labels: Path, options: dict[str, Any]) -> Any:
    """A scene with labels as images with masks for a model, cut as in its training."""
    from landmap.scene.labelled_scene import open_labelled_scene
    from landmap_models.evaluation.evaluate import usual_classes
    from landmap_models.model_file.archive import read_card
    from landmap_models.model_file.packaged import find_model

    card = read_card(find_model(model))
    if not card.per_pixel or card.margin is None:
        raise SettingsError(f"--labels: expected a model that answers for each pixel. {card.name} does not")
    names, ignored = usual_classes(card)
    how = {"classes": options["classes"], "usual_classes": names, "ignore": (*(options["ignore"] or ()), *ignored)}
    images, level = open_labelled_scene(scene, labels, card.input_names, card.margin, **how)
    if level not in card.levels:
        print_warnings([f"The scene is {level}, and {card.name} was trained on {' and '.join(card.levels)}"])
    return images


@click.command(cls=Command, example="landmap predict chip_1.tif chip_2.tif --model model.keras")
@click.argument("images", nargs=-1, required=True, type=PATH)
@click.option(
    "--model",
    default="default",
    show_default=True,
    help="Classify by this model: the name of a packaged one, or a .keras file.",
)
@click.option("-o", "--output", type=PATH, help="Draw the images with their labels to this folder (PNG).")
@click.option(
    "--file-bands", type=ListType(), help="Name the bands of the files in their order, if the files don't say."
)
@click.option("--json", "as_json", is_flag=True, help="Print the probabilities of all classes, as JSON.")
@OVERWRITE
def predict(images: tuple[Path, ...], as_json: bool, **options: Any) -> None:
    """Classify IMAGES, single chips as JPEG, PNG or GeoTIFF.

    A whole scene is for `classify`.
    """
    from landmap.cli.show import print_predictions
    from landmap_models.inference.tensorflow import quietly

    with quietly():
        from landmap_models.evaluation.predict import predict_chips as run
    print_predictions(run(images, **options), as_json=as_json)


COMMANDS = (models, *TRAINING, compare, evaluate, predict)
