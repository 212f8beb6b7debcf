"""`tardiff compare`: every way of training on imbalanced rows, on the user's own data, judged on real rows."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from tardiff.base.files import new_folder, refuse_existing, write_json
from tardiff.base.noise import stream
from tardiff.compare.cells import Bench, draws_of
from tardiff.compare.figure import forest
from tardiff.compare.metrics import METRICS
from tardiff.compare.table import table
from tardiff.compare.verdict import reference, verdict
from tardiff.data.dataset import Dataset
from tardiff.data.holdout import with_held_out
from tardiff.data.subgroups import groups
from tardiff.errors import TardiffError
from tardiff.evaluate.bootstrap import estimate, row_weights
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
        run: a generator of the training rows; None trains one for each seed.
        refined: a refined generator, without which `refined` is left out.
        say: called with a line about each cell.

    Raises:
        TardiffError: the data have more than two classes, lack a class or a split, or `OUT.partial` belongs to another comparison.
    """
    out = Path(out)
    refuse_existing(out)
    work = out.with_name(out.name + ".partial")
    bench = make_bench(data, settings, work, run, refined)
    methods = [m for m in settings.ways if m != "refined" or refined is not None]
    _claim(work, data, settings, run, refined)
    cells = _fill(bench, methods, work / "results.jsonl", say)
    result = summarise(cells, methods, bench)
    with new_folder(out) as folder:
        write_json(folder / "metrics.json", result)
        shutil.copy(work / "results.jsonl", folder)
        (folder / "table.txt").write_text(table(result))
        (folder / "verdict.txt").write_text(result["verdict"] + "\n")
        save_png(forest(result), folder / "forest.png")
    shutil.rmtree(work, ignore_errors=True)
    return result


def make_bench(
    data: Dataset, settings: CompareSettings, work: Path, run: TarDiffPipeline | None = None, refined: TarDiffPipeline | None = None
) -> Bench:
    """Everything that cells read; checks the data first.

    Raises:
        TardiffError: as `compare`.
    """
    task = data.manifest.task
    if len(task.classes) != 2:
        raise TardiffError(f"task {task.name}: it has {len(task.classes)} classes; compare is for tasks with two")
    if data.train.synthetic is not None and data.train.synthetic.any():
        raise TardiffError("the training split holds synthetic rows; compare on the data set that it was made from")
    if settings.on == "test" and "test" not in data.splits:
        raise TardiffError("the data set has no test split; use --on validation")
    judged = data.split(settings.on)
    fold = with_held_out(data, settings.seed) if settings.on == "validation" else data
    fold = Dataset(data.manifest, {"train": fold.train, "validation": fold.split("validation")}).completed()
    for name, split in (*fold.splits.items(), (settings.on, judged)):
        check_classes(f"{name} split", data, split)
    named = {name: rule for by in settings.by for name, rule in groups(by, data.manifest).items()}
    bench = Bench(fold, judged, settings, work, named, run, refined)
    for option, pipeline in (("--run", run), ("--refined", refined)):
        if pipeline is not None and pipeline.codec.digest() != bench.codec.digest():
            raise TardiffError(f"{option}: the generator was trained on other rows than DATA's training split")
    return bench


def summarise(cells: Cells, methods: list[str], bench: Bench) -> dict[str, Any]:
    """Every method's figures, and its paired differences to doing nothing and to the best of today's methods.

    Intervals cover the judged patients and the seeds; resamples are shared, so differences are paired.
    """
    settings = bench.settings
    seeds = sorted({seed for _, seed in cells})
    fits = row_weights(len(seeds), settings.bootstrap, stream("compared fits", settings.seed)) / len(seeds)

    def draws(method: str, group: str, metric: str) -> Any:
        by_fit = np.stack([draws_of(cells[method, seed]["groups"][group], metric) for seed in seeds], axis=1)
        return (by_fit * fits).sum(1)

    validation = {m: float(np.mean([cells[m, seed]["validation_auprc"] for seed in seeds])) for m in methods}
    best = reference(validation)
    result: dict[str, Any] = {"settings": _plain(settings), "task": bench.data.manifest.task.name, "seeds": seeds, "reference": best}
    result["judged"] = {"split": settings.on, "rows": len(bench.judged), "positives": int(bench.judged.label.sum())}
    result["train"] = {"rows": len(bench.data.train), "positives": int(bench.data.train.label.sum())}
    result["methods"] = {}
    for method in methods:
        of_seeds = [cells[method, seed] for seed in seeds]
        by_group = {}
        for group in of_seeds[0]["groups"]:
            n = of_seeds[0]["groups"][group]["n"]
            numbers = {}
            for metric in METRICS:
                own = draws(method, group, metric)
                numbers[metric] = {
                    "value": estimate(own, n, len(seeds)),
                    "against_none": estimate(own - draws("none", group, metric), n, len(seeds)),
                    "against_reference": estimate(own - draws(best, group, metric), n, len(seeds)),
                }
            by_group[group] = numbers
        result["methods"][method] = {
            "validation_auprc": validation[method],
            "groups": by_group,
            "chosen": [{"ratio": cell["ratio"], "both": cell["both"]} for cell in of_seeds if "ratio" in cell],
        }
    left_out = ["refined was left out: it needs a refined pipeline folder (--refined)"] if "refined" in settings.ways else []
    result["remarks"] = [] if "refined" in methods else left_out
    return result | {"verdict": verdict(result)}


def _fill(bench: Bench, methods: list[str], path: Path, say: Callable[[str], None]) -> Cells:
    """The cells that stand in the file and, run and written down one by one, the others."""
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    there = {(line["method"], line["seed"]): line for line in lines}
    cells: Cells = {}
    for seed in seeds_of(bench.settings):
        for method in methods:
            if (method, seed) not in there:
                there[method, seed] = {"method": method, "seed": seed} | bench.cell(method, seed)
                with path.open("a") as file:
                    file.write(json.dumps(there[method, seed]) + "\n")
            cells[method, seed] = there[method, seed]
            say(f"{method}: AUPRC {cells[method, seed]['groups']['all']['values']['auprc']:.3f}, {cells[method, seed]['seconds']:.0f} s")
        bench.forget(seed)
    return cells


def seeds_of(settings: CompareSettings) -> list[int]:
    """The seed of each fit of a method; every method has the same ones, and more seeds begin with the same ones."""
    return stream("compare", settings.seed).integers(2**31, size=settings.seeds).tolist()


def _claim(work: Path, data: Dataset, settings: CompareSettings, *pipelines: TarDiffPipeline | None) -> None:
    """Make the folder of work in progress, or check that it belongs to this comparison (more seeds or methods may be asked for).

    Raises:
        TardiffError: it belongs to another one.
    """
    fields = {key: value for key, value in _plain(settings).items() if key not in ("seeds", "methods")}
    generators = [None if p is None else [p.card.data_hash, p.card.settings] for p in pipelines]
    identity = {"data": data.completed().manifest.content_hash, "settings": fields, "generators": generators}
    path = work / "identity.json"
    if path.exists() and json.loads(path.read_text()) != json.loads(json.dumps(identity)):
        raise TardiffError(f"{work}: holds a comparison of other data or settings; finish that one, remove it, or choose another --out")
    work.mkdir(parents=True, exist_ok=True)
    write_json(path, identity)


def _plain(settings: CompareSettings) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(settings).items()}
