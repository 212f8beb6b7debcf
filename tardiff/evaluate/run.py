"""One evaluation from end to end: what each synthetic data set is worth, how real it looks, what it gives away."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tardiff.base.checkpoint import plain
from tardiff.base.files import new_folder, write_json
from tardiff.base.progress import bar
from tardiff.base.threads import one_thread
from tardiff.classifier.folder import ClassifierFolder
from tardiff.classifier.networks import State
from tardiff.data.codec import Codec
from tardiff.data.dataset import Dataset, Manifest, Split
from tardiff.errors import TardiffError
from tardiff.evaluate import forecast, utility
from tardiff.evaluate.cache import Cache
from tardiff.evaluate.curves import curves
from tardiff.evaluate.fidelity import (
    FLOOR,
    Distances,
    Sample,
    draw_samples,
    embedding,
    fidelity,
    record_distances,
    value_distances,
)
from tardiff.evaluate.opening import check_classes, check_models, check_real, check_strangers, like_real, opened, opened_synthetic
from tardiff.evaluate.plots import save_png, trajectories, utility_forest
from tardiff.evaluate.pool import run_fits, versions
from tardiff.evaluate.privacy import privacy
from tardiff.evaluate.realism import Rule, clinical_distance, default_rules, discriminate, realism
from tardiff.evaluate.row_sets import RowSets, thinned
from tardiff.evaluate.subgroups import groups, subgroups
from tardiff.evaluate.text_table import table
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.settings import EvaluateSettings

QUICK_ROWS, QUICK_ATTACK_ROWS = 4000, 500
Data = str | Path | Dataset


class Evaluation(dict[str, Any]):
    """A result: JSON-able numbers.

    Attributes:
        encoder: weights of the network in whose embedding the Fréchet distance was taken.
    """

    encoder: State


def evaluate(
    real: Data,
    synthetic: Mapping[str, Data],
    settings: EvaluateSettings,
    test: Data | None = None,
    cache: str | Path | None = None,
    pipeline: TarDiffPipeline | None = None,
    classifiers: Mapping[str, ClassifierFolder] | None = None,
    rules: Mapping[str, Rule] | None = None,
) -> Evaluation:
    """Evaluate synthetic data sets against the real one that they imitate.

    Args:
        real: folder or data set with train, validation and test rows.
        synthetic: folders or data sets by name; the others are compared with the first one.
        settings: models, seeds, ratios, resamples, workers.
        test: another data set to predict instead of the real test rows: its test split, or its train split if it has none.
        cache: folder in which the results of fits are kept and looked for, so that an interrupted evaluation goes on.
        pipeline: the generator, which privacy attacks look into; it learnt the real training rows.
        classifiers: classifiers of guides by name, which privacy attacks look into; they learnt the real training rows.
        rules: clinical rules that are checked besides the package's own, which one of the same name replaces.

    Returns:
        A JSON-able dict: `real`, `synthetic` and `test` (what was read), `settings`, `versions`, `utility`, `forecast`, `subgroups`,
        `fidelity`, `realism`, `privacy`. It depends on the data and the settings, never on the number of workers or the cache.

    Raises:
        TardiffError: a data set lacks a split, a class, or has other channels, steps or classes than the real one; a generator
            or a classifier was made from another one.
    """
    settings = effective(settings)
    if not synthetic:
        raise TardiffError("no synthetic data set was given; name at least one")
    real_data = opened(real)
    check_real(real_data)
    synthetic_data = {name: like_real(name, opened_synthetic(data, real_data), real_data) for name, data in synthetic.items()}
    for name, dataset in synthetic_data.items():
        check_classes(f"synthetic set {name!r}", dataset, dataset.train)
    check_models(real_data, pipeline, classifiers or {})
    test_name, test_data, whole = _test_rows(real_data, None if test is None else opened(test))
    test_split = thinned(whole, settings.max_rows, settings.seed)
    found = groups(test_split, test_data.manifest, real_data, settings.subgroups)
    with one_thread():
        codec = Codec.fit(real_data.train, real_data.manifest)
        fewer = {name: _thinned(dataset, settings) for name, dataset in synthetic_data.items()}
        sets = RowSets.of(_thinned(real_data, settings), fewer, test_split, codec)
        splits = {"train": real_data.train, FLOOR: real_data.split("test")}
        samples = draw_samples(splits | {f"synthetic/{name}": dataset.train for name, dataset in synthetic_data.items()}, settings.seed)
    cells, forecasters, encoder = utility.fits(sets, settings), forecast.fits(sets, settings), embedding.fit_of(sets, settings)
    kept = Cache(Path(cache) if cache else None)
    done = run_fits([*chain(*cells.values(), *forecasters.values()), encoder], sets, settings.workers, kept, "utility: fitting models")
    found_apart = discriminate(samples, settings, kept)
    with one_thread():
        score = utility.scores(cells, done)
        weights: State = {name: torch.from_numpy(array.copy()) for name, array in done[encoder].items()}
        checked = default_rules() | dict(rules or {})
        fitted = found_apart.distances, embedding.frechet(sets, weights, settings)
        result = Evaluation(
            real=_describe(real_data),
            synthetic={name: _describe(dataset) for name, dataset in synthetic_data.items()},
            test=_describe(test_data) | {"split": test_name, "rows": len(test_split), "positives": int((test_split.label == 1).sum())},
            settings={key: value for key, value in plain(settings).items() if key != "workers"},  # which change nothing
            versions=versions(),
            utility=utility.utility(sets, score, settings),
            forecast=forecast.forecast(sets, forecasters, done, settings),
            subgroups=subgroups(found, sets, score, settings),
            fidelity=fidelity(distances(samples, codec, real_data.manifest, checked, settings.seed, fitted)),
            realism=realism(samples, found_apart, real_data.manifest, checked),
            privacy=privacy(real_data, synthetic_data, codec, settings, pipeline, classifiers, kept),
        )
        result.encoder = weights
    return result


def distances(
    samples: Mapping[str, Sample],
    codec: Codec,
    manifest: Manifest,
    rules: Mapping[str, Rule],
    seed: int,
    fitted: Sequence[Mapping[str, Distances]] = (),
) -> dict[str, Distances]:
    """Every distance of every role to `train`; those that needed models are handed in, by role."""
    train = samples["train"]
    found = {}
    for role in bar([role for role in samples if role != "train"], desc="comparing records"):
        found[role] = value_distances(samples[role], train, manifest) | record_distances(samples[role], train, codec, seed)
        found[role] |= clinical_distance(samples[role], train, manifest, rules)
        for by_role in fitted:
            found[role] |= by_role[role]
    return found


def effective(settings: EvaluateSettings) -> EvaluateSettings:
    """The settings that are run: `quick` spelt out."""
    if not settings.quick:
        return settings
    rows = min(settings.max_rows or QUICK_ROWS, QUICK_ROWS)
    attack_rows = min(settings.attack_rows, QUICK_ATTACK_ROWS)
    return replace(settings, models=("trees", "logistic"), seeds=3, ratios=(1.0,), max_rows=rows, attack_rows=attack_rows)


def write(result: Mapping[str, Any], out: str | Path, real: Data, synthetic: Mapping[str, Data]) -> None:
    """Write an evaluation into the new folder `out`.

    `metrics.json`, `table.txt`, `figures.json` (see `curves`), `encoder.safetensors`, `utility.png` and `trajectories.png`.

    Args:
        result: what `evaluate` gave.
        out: folder to write, whole or not at all.
        real, synthetic: the data sets that were evaluated, for the pictures.

    Raises:
        TardiffError: `out` exists already.
    """
    real_data = opened(real)
    sets = {name: opened_synthetic(data, real_data) for name, data in synthetic.items()}
    with new_folder(out) as folder:
        write_json(folder / "metrics.json", result)
        write_json(folder / "figures.json", curves(real_data, sets))
        (folder / "table.txt").write_text(table(result), encoding="utf-8")
        if isinstance(result, Evaluation):
            save_file(result.encoder, folder / "encoder.safetensors")
        save_png(utility_forest(result), folder / "utility.png")
        save_png(trajectories(real_data, sets), folder / "trajectories.png")


def _test_rows(real: Dataset, other: Dataset | None) -> tuple[str, Dataset, Split]:
    if other is None:
        return "test", real, real.split("test")
    other = like_real("test", other, real)
    name = "test" if "test" in other.splits else "train"
    check_strangers(real, other, name)
    check_classes("test data", other, other.split(name))
    return name, other, other.split(name)


def _thinned(dataset: Dataset, settings: EvaluateSettings) -> Dataset:
    """At most `max_rows` rows of each split."""
    fewer = Dataset(dataset.manifest, {name: thinned(split, settings.max_rows, settings.seed) for name, split in dataset.splits.items()})
    for name, split in fewer.splits.items():
        check_classes(f"--max-rows {settings.max_rows}, {name} split", fewer, split)
    return fewer


def _describe(dataset: Dataset) -> dict[str, Any]:
    """What is needed to tell which data were read."""
    dataset.refuse_changed()
    manifest = dataset.manifest
    return {
        "source": manifest.source,
        "source_version": manifest.source_version,
        "task": manifest.task.name,
        "rule": manifest.task.rule,
        "classes": list(manifest.task.classes),
        "channels": list(manifest.channel_names),
        "content_hash": manifest.content_hash,
        "made_by": manifest.settings,
        "splits": {name: {"rows": len(split), "positives": int((split.label == 1).sum())} for name, split in dataset.splits.items()},
    }
