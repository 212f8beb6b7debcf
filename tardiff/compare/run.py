"""`tardiff compare`: every way of training on imbalanced rows, on the user's own data, judged on real rows."""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tardiff.base.checkpoint import plain, weights_hash
from tardiff.base.files import new_folder, refuse_existing, write_json
from tardiff.base.ledger import Ledger
from tardiff.base.noise import stream
from tardiff.base.partial import claim, partial_folder
from tardiff.base.progress import bar
from tardiff.classifier.folder import ClassifierFolder
from tardiff.compare.cells import Comparison
from tardiff.compare.figure import forest
from tardiff.compare.ladder import Ladder
from tardiff.compare.summary import Cells, summarise
from tardiff.compare.table import table
from tardiff.data.codec import Codec
from tardiff.data.contract import arranged
from tardiff.data.dataset import Dataset, Split
from tardiff.data.holdout import with_held_out
from tardiff.data.padding import padded
from tardiff.data.subgroups import Rule, groups
from tardiff.errors import InputError, TardiffError
from tardiff.evaluate.opening import check_classes
from tardiff.evaluate.plots import save_png
from tardiff.model.dp_training import described_rows
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.settings import LADDER, METHODS, NOT_SENT, CompareSettings, SiteSettings


@dataclass(frozen=True)
class Sent:
    """What another site sends: its generator, a classifier in the generator's space, and, for an upper bound, its own rows."""

    run: TarDiffPipeline
    classifier: ClassifierFolder
    real: Dataset | None = None


def compare(
    data: Dataset,
    out: str | Path,
    settings: CompareSettings,
    run: TarDiffPipeline | None = None,
    refined: TarDiffPipeline | None = None,
    say: Callable[[str], None] = lambda line: None,
    sent: Sent | None = None,
    sites: SiteSettings | None = None,
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
        sent: what another site sends; the methods are then those of the ladder, and `run` and `refined` are not read.
        sites: of a ladder.

    Raises:
        TardiffError: the data have more than two classes, lack a class or a split, or mean something else than a generator's records,
            or `OUT.partial` belongs to another comparison.
    """
    out = Path(out)
    refuse_existing(out)
    work = partial_folder(out)
    if sent is None:
        known, lacking, needs = settings.ways(METHODS), {"refined"} if refined is None else set(), "a refined pipeline folder (--refined)"
    else:
        known, lacking = settings.ways(LADDER), set(NOT_SENT) if sent.real is None else set()
        needs = "the other site's own rows (--from-data)"
    methods = [method for method in known if method not in lacking]
    left_out = ", ".join(method for method in known if method in lacking)
    if left_out and settings.methods:
        raise TardiffError(f"--methods {left_out}: needs {needs}")
    remarks = [f"Left out: {left_out}. Needed: {needs}."] if left_out else []
    if sent is None:
        comparison, curve = opened(data, settings, work, run, refined), {}
    else:
        comparison = ladder = opened_ladder(data, settings, sites or SiteSettings(), work, sent)
        curve = ladder.curve(seeds_of(settings))
    claim(work, _identity(comparison, data))
    cells = _fill(comparison, [*methods, *(m for m in curve.values() if m not in methods)], Ledger(work / "results.jsonl"), say)
    result = summarise(cells, methods, comparison, curve, remarks)
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
    """Everything that cells read; checks the data first."""
    _check_rows(data)
    given = {option: pipeline for option, pipeline in (("--run", run), ("--refined", refined)) if pipeline is not None}
    for option, pipeline in given.items():
        data = arranged(data, pipeline.form, "DATA", option)
    if run is not None and arranged(data, run.form, "DATA", "--run") is not data:
        raise TardiffError("--refined: has channels, descriptors or classes in another order than --run; refine that one")
    judged = _judged(data, settings)
    fold = with_held_out(data, settings.seed) if settings.on == "validation" else data
    fold = Dataset(data.manifest, {"train": fold.train, "validation": fold.split("validation")}).completed()
    for name, split in (*fold.splits.items(), (settings.on, judged)):
        check_classes(f"{name} split", data, split)
    comparison = Comparison(fold, judged, settings, work, _groups(data, settings), run, refined)
    for option, pipeline in given.items():
        if pipeline.card.adaptation:
            raise InputError(f"{option}: was adapted to rows that choose here; give what it was adapted from as --from")
        described = described_rows(fold, pipeline.card.settings.get("epsilon"))
        if pipeline.codec.digest() != Codec.fit(described, fold.manifest).digest():
            raise TardiffError(f"{option}: the generator was trained on other rows than DATA's training split")
    return comparison


def opened_ladder(data: Dataset, settings: CompareSettings, sites: SiteSettings, work: Path, sent: Sent) -> Ladder:
    """Everything that cells of a ladder read; checks the data first.

    Args:
        data: local rows: those of the training and validation split are learnt from (of the training split, if validation rows judge),
            and `sites` says how many of them. What they lack of the generator's variables counts as never observed.
        settings: model, methods, seeds, ratios, judging split.
    """
    _check_rows(data)
    run, classifier = sent.run, sent.classifier
    if not run.labelled:
        raise InputError("--from: the generator learnt without labels, so its samples have none to learn from")
    if run.card.adaptation:
        raise InputError("--from: is adapted to local rows already, which the comparison does itself; give what it was adapted from")
    if classifier.codec.digest() != run.codec.digest() or classifier.card.task != run.card.task:
        raise InputError(
            "--from-classifier: learnt from other rows or for another task than --from; fit it on the data that --from was trained on"
        )
    known = padded(data, run.codec.channels, run.statics.statics, "DATA")
    for unshared, what in ((known.lacking, "has no value in DATA"), (known.left_out, "of DATA is unknown to --from and left out")):
        if unshared:
            print(f"warning: {', '.join(unshared)} {what}", file=sys.stderr)
    data = arranged(known.data, run.form, "DATA", "--from")
    real = None if sent.real is None else arranged(sent.real, run.form, "--from-data", "--from").train
    judged = _judged(data, settings)
    one_source = sent.real is not None and sent.real.manifest.source == data.manifest.source  # elsewhere ids tell nothing
    if real is not None and one_source and np.isin(real.subject_id, judged.subject_id).any():
        raise InputError(f"--from-data: a patient of its training split is in the {settings.on} split of DATA, which judges")
    names = ["train", *(["validation"] if settings.on == "test" and "validation" in data.splits else [])]
    local = Split.concatenate([data.split(name) for name in names])
    fold = Dataset(data.manifest, {"train": local}).completed()
    for name, split in (("local", local), (settings.on, judged), *([("--from-data", real)] if real is not None else [])):
        check_classes(f"{name} split", data, split)
    if sites.local is not None and sites.local > len(local):
        raise InputError(f"--local {sites.local}: DATA has {len(local):,} rows in {' and '.join(names)}")
    ladder = Ladder(
        data=fold,
        judged=judged,
        settings=settings,
        work=work,
        groups=_groups(data, settings),
        run=run,
        classifier=classifier,
        real=real,
        sites=sites,
    )
    for seed in seeds_of(settings):
        if (fewest := ladder.most_folds("local", seed)) < 2:
            raise InputError(f"--local {ladder.budget}: has {fewest} patients of the rarer class; two are needed to choose by")
    return ladder


def _check_rows(data: Dataset) -> None:
    task = data.manifest.task
    if len(task.classes) != 2:
        raise TardiffError(f"task {task.name}: it has {len(task.classes)} classes; compare is for tasks with two")
    if data.manifest.synthetic:
        raise TardiffError("DATA holds synthetic records; compare on the real ones that its generator learnt from")
    if data.train.synthetic is not None and data.train.synthetic.any():
        raise TardiffError("the training split holds synthetic rows; compare on the data set that it was made from")


def _judged(data: Dataset, settings: CompareSettings) -> Split:
    if settings.on == "test" and "test" not in data.splits:
        raise TardiffError("the data set has no test split; use --on validation")
    return data.split(settings.on)


def _groups(data: Dataset, settings: CompareSettings) -> dict[str, Rule]:
    named: dict[str, Rule] = {"all": lambda split: np.ones(len(split), dtype=bool)}
    for by in settings.by:
        named |= groups(by, data.manifest)
    return named


def _fill(comparison: Comparison, methods: list[str], ledger: Ledger, say: Callable[[str], None]) -> Cells:
    """The cells that stand in the ledger and, run and written down one by one, the others."""
    keys = [(method, seed) for seed in seeds_of(comparison.settings) for method in methods]
    found = {(method, seed): ledger.find(method=method, seed=seed) for method, seed in keys}
    cells: Cells = {}
    with bar(total=len(keys), initial=sum(cell is not None for cell in found.values()), desc="compare", unit="fit") as moved:
        for method, seed in keys:
            if (cell := found[method, seed]) is None:
                cell = ledger.add({"method": method, "seed": seed, **comparison.cell(method, seed)})
                moved.update()
            cells[method, seed] = cell
            say(f"{method}: AUPRC {cell['groups']['all']['values']['auprc']:.3f}, {cell['seconds']:.0f} s")
    return cells


def seeds_of(settings: CompareSettings) -> list[int]:
    """The seed of each fit of a method; every method has the same ones, and more seeds begin with the same ones."""
    return stream("compare", settings.seed).integers(2**31, size=settings.seeds).tolist()


def _identity(comparison: Comparison, data: Dataset) -> dict[str, Any]:
    """What a comparison's cells depend on; more seeds or methods may be asked for later."""
    settings = {key: value for key, value in plain(comparison.settings).items() if key not in ("seeds", "methods", "workers")}
    generators = [None if p is None else [p.card.data_hash, weights_hash(p.unet)] for p in (comparison.run, comparison.refined)]
    identity: dict[str, Any] = {"data": data.completed().manifest.content_hash, "settings": settings, "generators": generators}
    if isinstance(comparison, Ladder):
        rows = None if comparison.real is None else comparison.real_rows.digest
        identity["ladder"] = [plain(comparison.sites), weights_hash(comparison.classifier.classifier), rows]
    return identity
