"""The whole audit of a dataset folder, and of what was fitted on it."""

import json
from collections.abc import Sequence
from pathlib import Path

from tardiff.audit.finding import Finding
from tardiff.audit.shortcuts import shortcuts
from tardiff.audit.traps import (
    after_the_cutoff,
    class_balance,
    duplicated_rows,
    fitted_on_every_row,
    look_ahead,
    missingness_drift,
    shared_patients,
)
from tardiff.data.codec import Codec
from tardiff.data.dataset import Dataset, Split
from tardiff.data.rows import as_rows
from tardiff.data.statics import StaticModel
from tardiff.errors import TardiffError
from tardiff.model.card import Card

TRAPS = (shared_patients, duplicated_rows, after_the_cutoff, fitted_on_every_row, look_ahead, class_balance, missingness_drift)
CARDS = {"card.json": "pipeline", "classifier.json": "classifier"}


def audit(data: str | Path | Dataset, runs: Sequence[str | Path] = (), seed: int = 0) -> list[Finding]:
    """Look for every trap.

    Args:
        data: a dataset folder, or the data set itself.
        runs: pipeline and classifier folders that were made from it.
        seed: of the bootstrap.

    Raises:
        TardiffError: a folder cannot be read, or was made from other data.
    """
    dataset = data if isinstance(data, Dataset) else Dataset.load(data, strict=False)
    fitted = [fitted_on_train(dataset, Path(run)) for run in runs]  # first, for it may refuse a folder
    return [look(dataset) for look in TRAPS] + shortcuts(dataset, seed) + fitted


def fitted_on_train(data: Dataset, run: Path) -> Finding:
    """What a pipeline or classifier folder has fitted on data must be what its training rows give, to the last digit."""
    card = next((name for name in CARDS if (run / name).is_file()), None)
    if card is None:
        raise TardiffError(f"{run}: neither a pipeline folder (card.json) nor a classifier folder (classifier.json)")
    trap = f"statistics in {CARDS[card]} {run.name}"
    made_from = _data_hash(run / card)
    if (run / "language.json").is_file():
        data = as_rows(data)  # which is what a language model learns
    if made_from in {form.manifest.content_hash for form in (data.unlabelled(), data.unlabelled().without_training_rows())}:
        data = data.unlabelled()  # of a generator that learnt without labels
    if made_from not in data.known_as():
        raise TardiffError(f"{run}: was made from another data set (data_hash in {card} is not its content_hash)")
    about = Card.load(run) if card == "card.json" else None
    if about and about.adaptation:
        return Finding(trap, "skip", "adapted from a generator of other data, of which it keeps a part")
    codec = Codec.load(run / "codec.json")
    if about and about.privacy:
        private = codec.digest() == Codec.fit(data.split("validation"), data.manifest).digest()
        said = "fitted on the validation rows, as private training does" if private else "codec.json is not what the validation rows give"
        return Finding(trap, "pass" if private else "fail", said)
    if codec.digest() == Codec.fit(data.train, data.manifest).digest():
        if card == "card.json" and StaticModel.load(run / "statics.json") != StaticModel.fit(data.train, data.manifest):
            return Finding(trap, "fail", "statics.json is not what the training rows give")
        return Finding(trap, "pass", "fitted on the training rows, to the last digit")
    others = [name for name in data.splits if name != "train"]
    for more in [[name] for name in others] + [others]:
        rows = Split.concatenate([data.train, *(data.splits[name] for name in more)])
        if codec.digest() == Codec.fit(rows, data.manifest).digest():
            return Finding(trap, "fail", f"codec.json was fitted on train and {' and '.join(more)} rows")
    return Finding(trap, "fail", "codec.json is not what the training rows give")


def _data_hash(path: Path) -> object:
    try:
        return json.loads(path.read_bytes()).get("data_hash")
    except (ValueError, AttributeError, RecursionError) as error:
        raise TardiffError(f"{path}: damaged ({error})") from error
