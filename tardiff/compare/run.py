"""`tardiff compare`: every way of training on imbalanced rows, on the user's own data, judged on real rows."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tardiff.base.checkpoint import plain, weights_hash
from tardiff.base.files import new_folder, refuse_existing, write_json
from tardiff.base.ledger import Ledger
from tardiff.base.noise import stream
from tardiff.base.partial import claim, partial_folder
from tardiff.compare.cells import Comparison
from tardiff.compare.figure import forest
from tardiff.compare.table import table
from tardiff.compare.verdict import reference, verdict
from tardiff.data.contract import arranged
from tardiff.data.dataset import Dataset
from tardiff.data.holdout import with_held_out
from tardiff.data.subgroups import Rule, groups
from tardiff.errors import TardiffError
from tardiff.evaluate.bootstrap import Draws, unpacked
from tardiff.evaluate.intervals import estimates
from tardiff.evaluate.opening import check_classes
from tardiff.evaluate.plots import save_png
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.settings import CompareSettings

Cells = dict[tuple[str, int], dict[str, Any]]
"""By method and seed."""


def compare(
    data: Dataset,
    out: str | Path,
    settings: CompareSettings,
    run: TarDiffPipeline | None = None,
    refined: TarDiffPipeline | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Fit every method with every seed, and write metrics.json, results.jsonl, table.txt, forest.png and verdict.txt.

    Work in progress stands in `OUT.partial`, one line of results.jsonl for a finished cell; the same call goes on from there.

    Args:
        data: real rows: train, validation and the split that judges.
        out: folder to write.
        settings: model, methods, seeds, ratios, judging split.
        run: a generator of the training rows, whose order of channels, descriptors and classes holds; None trains one for each seed.
        refined: a refined generator, without which `refined` is left out.
        say: called with a line about each cell.

    Raises:
        TardiffError: the data have more than two classes, lack a class or a split, or mean something else than a generator's records,
            or `OUT.partial` belongs to another comparison.
    """
    out = Path(out)
    refuse_existing(out)
    work = partial_folder(out)
    comparison = opened(data, settings, work, run, refined)
    methods = [m for m in settings.ways if m != "refined" or refined is not None]
    claim(work, _identity(comparison, data))
    cells = _fill(comparison, methods, Ledger(work / "results.jsonl"), say)
    result = summarise(cells, methods, comparison)
    with new_folder(out) as folder:
        write_json(folder / "metrics.json", result)
        (folder / "results.jsonl").write_text("".join(json.dumps(cell) + "\n" for cell in cells.values()))
        (folder / "table.txt").write_text(table(result))
        (folder / "verdict.txt").write_text(result["verdict"] + "\n")
        save_png(forest(result), folder / "forest.png")
    shutil.rmtree(work, ignore_errors=True)
    return result


def opened(
    data: Dataset, settings: CompareSettings, work: Path, run: TarDiffPipeline | None = None, refined: TarDiffPipeline | None = None
) -> Comparison:
    """Everything that cells read; checks the data first.

    Raises:
        TardiffError: as `compare`.
    """
    task = data.manifest.task
    if len(task.classes) != 2:
        raise TardiffError(f"task {task.name}: it has {len(task.classes)} classes; compare is for tasks with two")
    if data.train.synthetic is not None and data.train.synthetic.any():
        raise TardiffError("the training split holds synthetic rows; compare on the data set that it was made from")
    for option, pipeline in (("--run", run), ("--refined", refined)):
        if pipeline is not None:
            data = arranged(data, pipeline.form, "DATA", option)
    if run is not None and arranged(data, run.form, "DATA", "--run") is not data:
        raise TardiffError("--refined: has channels, descriptors or classes in another order than --run; refine that one")
    if settings.on == "test" and "test" not in data.splits:
        raise TardiffError("the data set has no test split; use --on validation")
    judged = data.split(settings.on)
    fold = with_held_out(data, settings.seed) if settings.on == "validation" else data
    fold = Dataset(data.manifest, {"train": fold.train, "validation": fold.split("validation")}).completed()
    for name, split in (*fold.splits.items(), (settings.on, judged)):
        check_classes(f"{name} split", data, split)
    named: dict[str, Rule] = {"all": lambda split: np.ones(len(split), dtype=bool)}
    for by in settings.by:
        named |= groups(by, data.manifest)
    comparison = Comparison(fold, judged, settings, work, named, run, refined)
    for option, pipeline in (("--run", run), ("--refined", refined)):
        if pipeline is not None and pipeline.codec.digest() != comparison.codec.digest():
            raise TardiffError(f"{option}: the generator was trained on other rows than DATA's training split")
    return comparison


def summarise(cells: Cells, methods: list[str], comparison: Comparison) -> dict[str, Any]:
    """Every method's figures, and its paired differences to doing nothing and to the best of today's methods.

    Intervals cover the judged patients and the seeds; resamples are shared, so differences are paired.
    """
    settings, label, train = comparison.settings, comparison.judged.label, comparison.data.train.label
    seeds = sorted({seed for _, seed in cells})
    metrics = list(cells["none", seeds[0]]["groups"]["all"]["draws"])
    labels = {group: label[rule(comparison.judged)] for group, rule in comparison.groups.items()}

    def of_seeds(method: str) -> list[dict[str, Any]]:
        return [cells[method, seed] for seed in seeds]

    def draws(method: str, group: str, metric: str) -> Draws:
        return np.stack([unpacked(cell["groups"][group]["draws"][metric]) for cell in of_seeds(method)], axis=1)

    def figures(method: str, group: str) -> dict[str, dict[str, Any]]:
        own = {metric: draws(method, group, metric) for metric in metrics}
        found = {"value": estimates(own, labels[group])}
        for name, other in (("none", "none"), ("reference", best)):
            changes = {metric: own[metric] - draws(other, group, metric) for metric in metrics}
            found[f"against_{name}"] = estimates(changes, labels[group], shares=())
        return {metric: {key: numbers[metric] for key, numbers in found.items()} for metric in metrics}

    validation = {method: float(np.mean([cell["validation_auprc"] for cell in of_seeds(method)])) for method in methods}
    best = reference(validation)
    result: dict[str, Any] = {
        "settings": _settings(settings),
        "task": comparison.data.manifest.task.name,
        "seeds": seeds,
        "reference": best,
        "judged": {"split": settings.on, "rows": len(label), "positives": int(label.sum())},
        "train": {"rows": len(train), "positives": int(train.sum())},
        "methods": {
            method: {
                "validation_auprc": validation[method],
                "groups": {group: figures(method, group) for group in labels},
                "candidates": cells[method, seeds[0]]["candidates"],
                "chosen": [cell["chosen"] for cell in of_seeds(method)],
            }
            for method in methods
        },
    }
    left_out = "refined" in settings.ways and "refined" not in methods
    result["remarks"] = ["refined was left out: it needs a refined pipeline folder (--refined)"] if left_out else []
    return result | {"verdict": verdict(result)}


def _fill(comparison: Comparison, methods: list[str], ledger: Ledger, say: Callable[[str], None]) -> Cells:
    """The cells that stand in the ledger and, run and written down one by one, the others."""
    cells: Cells = {}
    for seed in seeds_of(comparison.settings):
        for method in methods:
            key = {"method": method, "seed": seed}
            cells[method, seed] = cell = ledger.find(**key) or ledger.add({**key, **comparison.cell(method, seed)})
            say(f"{method}: AUPRC {cell['groups']['all']['values']['auprc']:.3f}, {cell['seconds']:.0f} s")
    return cells


def seeds_of(settings: CompareSettings) -> list[int]:
    """The seed of each fit of a method; every method has the same ones, and more seeds begin with the same ones."""
    return stream("compare", settings.seed).integers(2**31, size=settings.seeds).tolist()


def _identity(comparison: Comparison, data: Dataset) -> dict[str, Any]:
    """What a comparison's cells depend on; more seeds or methods may be asked for later."""
    settings = {key: value for key, value in _settings(comparison.settings).items() if key not in ("seeds", "methods")}
    generators = [None if p is None else [p.card.data_hash, weights_hash(p.unet)] for p in (comparison.run, comparison.refined)]
    return {"data": data.completed().manifest.content_hash, "settings": settings, "generators": generators}


def _settings(settings: CompareSettings) -> dict[str, Any]:
    """Without the number of workers, which changes nothing."""
    return {key: value for key, value in plain(settings).items() if key != "workers"}
