"""One cell: a row of a study's table with one seed, from the generator to the judges' figures, as one small record."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.harness.data import Budget
from experiments.harness.draws import condensed
from experiments.harness.generators import Generators
from experiments.harness.knock_outs import without
from experiments.harness.protocol import REAL_ROWS, Cell, Protocol, Recipe, Study
from experiments.harness.published import published_guide
from experiments.harness.random_guide import moved_at_random
from experiments.harness.records import costs, looked_at
from experiments.harness.shared import WaitingError, Work
from tardiff.augment.gate import gated
from tardiff.augment.generate import Generated, generate
from tardiff.base.noise import row_seeds
from tardiff.base.threads import one_thread
from tardiff.classifier.folder import ClassifierFolder
from tardiff.compare.cells import Comparison
from tardiff.compare.metrics import METRICS
from tardiff.data.dataset import Dataset
from tardiff.data.labels import draw_labels, labels_to_add
from tardiff.data.subgroups import Rule
from tardiff.errors import TardiffError
from tardiff.evaluate.cache import Cache
from tardiff.evaluate.judges import Rows
from tardiff.evaluate.metrics import auroc
from tardiff.evaluate.opening import opened_synthetic
from tardiff.evaluate.pool import Fit, run_fits
from tardiff.evaluate.row_sets import Part, Parts, RowSets
from tardiff.evaluate.train_and_judge import judge_fit, judged
from tardiff.model.pipeline import RecordGenerator
from tardiff.settings import CompareSettings, GuidanceSettings, SelectionSettings
from tardiff.synthesis.run import synthesise

RARE = 0.05
"""With fewer positives, synthetic rows alone are balanced: a judge would otherwise learn from a handful."""
EVERYONE: dict[str, Rule] = {"all": lambda split: np.ones(len(split), dtype=bool)}
KEPT = ("auprc", "auroc", "brier", "slope", "brier_platt", "slope_platt")


@dataclass
class Lab:
    """A study with one seed: its rows, generators and judges.

    Attributes:
        protocol, study: what is run.
        budget: what may be read.
        seed: of everything.
        work: folder for what is made on the way.
        chosen: what screening chose, by study.
    """

    protocol: Protocol
    study: Study
    budget: Budget
    seed: int
    work: Work
    chosen: Mapping[str, Any]

    @cached_property
    def comparison(self) -> Comparison:
        """`tardiff compare` on these rows; synthetic rows are handed to it."""
        settings = CompareSettings(ratios=self.protocol.ratios, bootstrap=self.protocol.resamples, workers=1)
        rows = self.budget.labelled, self.budget.judged
        return Comparison(*rows, settings, self.work.folder, EVERYONE, tuned_first=self.study.tuned_first)

    @cached_property
    def generators(self) -> Generators:
        """Of the study with this seed."""
        return Generators(self.protocol, self.study, self.budget, self.seed, self.work)

    def run(self, cell: Cell) -> dict[str, Any]:
        """What the ledger keeps of a cell, but for its key.

        Raises:
            BusyError: another process is making something that the cell needs.
            WaitingError: samples that are made elsewhere, or a choice, are not there yet.
        """
        start, self.work.spent = (time.perf_counter(), time.process_time()), 0.0
        with one_thread():
            found = self.found(cell)
        shared, self.work.spent = self.work.spent, 0.0
        cpu = time.process_time() - start[1] - shared
        return found | {"seconds": round(time.perf_counter() - start[0], 1), "cpu": round(cpu, 1), "shared_cpu": round(shared, 1)}

    def found(self, cell: Cell) -> dict[str, Any]:
        """The figures of a cell."""
        if cell.row in REAL_ROWS:
            return self._real(cell.row)
        recipe = self.protocol.recipes[cell.row]
        if recipe.generator == "gated":
            return self._gated(recipe)
        _ = self.comparison.sets  # judges read through a whole codec, whatever is left out of the generator
        with without(recipe.without):
            return self._synthetic(cell, recipe)

    def _real(self, row: str) -> dict[str, Any]:
        found: dict[str, Any] = {"added": self.added(row)}
        if row == "none":
            train, outside = self.budget.labelled.train, self.budget.judged
            codec, manifest = self.comparison.codec, self.budget.labelled.manifest
            found["costs"] = costs(outside, train, outside, codec, manifest, self.seed) | {
                "trts": self._trts(self.comparison.sets, "judged")
            }
        return found

    def _gated(self, recipe: Recipe) -> dict[str, Any]:
        """What `tardiff augment` does with the study's generator: all of the recipe's rows, if its gate lets them through, or none."""
        labelled, settings = self.budget.labelled, self.protocol.training(self.study.generator, self.seed)

        def make(rows: NDArray[np.bool_], label: NDArray[np.int64], earlier: Sequence[Generated]) -> Generated:
            fold = Dataset(labelled.manifest, {"train": labelled.train.take(rows)})
            return generate(fold, label, guidance=recipe.settings, training=settings, seed=self.seed, earlier=earlier)

        gate = gated(labelled, self._to_add, make, 1, self.seed, progress=False)
        if not gate.made:
            return {"gate": asdict(gate.gains[0]), "added": self.added("none")}
        sets = self.comparison.sets.adding(pool=Rows.of(gate.made[0].rows, self.comparison.codec))
        return {"gate": asdict(gate.gains[0]), "added": self._judged(sets, (Part("train"), Part("pool")))}

    def _synthetic(self, cell: Cell, recipe: Recipe) -> dict[str, Any]:
        made, told, attacked = self.made(cell, recipe)
        codec, labelled = self.comparison.codec, self.budget.labelled
        pool = Rows.of(made.train, codec)
        sets = self.comparison.sets.adding(pool=pool)
        found: dict[str, Any] = {"alone": {}} | told
        for size in self.study.sizes:
            found["alone"][str(size)] = self._judged(sets, (Part.of("pool", self._alone_rows(pool.label, size, recipe)),))
        if self.study.adds and not recipe.select and recipe.samples is None:
            self.comparison.drawn = {(cell.row, self.seed): pool}
            found["added"] = self.added(cell.row)
        rows = self._alone_rows(pool.label, self.study.sizes[-1], recipe)
        alone = Dataset(made.manifest, {"train": made.train.take(rows)}).completed()
        manifest = labelled.manifest
        found["costs"] = costs(alone.train, labelled.train, self.budget.judged, codec, manifest, self.seed)
        found["costs"]["trts"] = self._trts(sets.adding(alone=pool.take(rows)), "alone")
        if how := self.study.records.get(cell.row):
            base = self.trained(recipe).base if how == "full" else None
            kept = Cache(self.work.folder / "fits" / (recipe.without or ""))
            found["records"] = looked_at(alone, labelled, self.budget.judged, codec, how, self.seed, kept, base, attacked)
        return found

    def made(self, cell: Cell, recipe: Recipe) -> tuple[Dataset, dict[str, Any], bool]:
        """The rows of a recipe, what guidance did, and whether they are the base's own: then its weights are attacked, too."""
        if recipe.samples is not None:
            path = self.work.folder / recipe.samples.format(data=self.study.data, seed=self.seed)
            if not path.exists():
                raise WaitingError(f"waits for {path}")
            return opened_synthetic(path, self.budget.labelled), {}, False
        generator, label = self.generator(recipe), self.pool_labels()
        if recipe.guide == "published":
            folder = self.generators.guide("gru")
            guide = published_guide(folder, self.budget.labelled.train)
            made = generator.dataset(generator(label, row_seeds(self.seed, range(len(label))), guide=guide), {})
            return made, {}, False
        guidance, chose = recipe.settings, dict[str, Any]()
        if recipe.guide in ("chosen", "random"):
            if cell.study not in self.chosen:
                raise WaitingError(f"waits until {self.study.screen} is finished")
            guidance, chose = GuidanceSettings(**self.chosen[cell.study]["guidance"]), {"guide": self.chosen[cell.study]["row"]}
        if recipe.guide == "random":
            samples, moved = moved_at_random(generator, self.guide(recipe, generator), guidance, label, self.seed)
            return generator.dataset(samples, {}), chose | {"moved": moved}, False
        reads = guidance.reads_classifier or recipe.select or recipe.relabel
        done = synthesise(
            generator,
            len(label),
            classifier=self.guide(recipe, generator) if reads else (),
            guidance=guidance,
            selection=SelectionSettings(select="influence" if recipe.select else "none"),
            label=None if recipe.select else label,
            label_ratio="balanced" if self._balanced else "train",
            relabel=recipe.relabel,
            seed=self.seed,
            progress=False,
        )
        told = chose | ({"moved": done.movement.value} if done.movement else {})
        told |= {"strength": done.match.strength, "cfg_scale": done.match.cfg_scale} if done.match else {}
        return done.dataset, told, recipe.generator == "base" and guidance.guidance == "none" and not (recipe.select or recipe.relabel)

    def generator(self, recipe: Recipe) -> RecordGenerator:
        """What draws the samples of a recipe."""
        return self.trained(recipe)[recipe.generator]

    def trained(self, recipe: Recipe) -> Generators:
        """The generators of a recipe, which may lack a part, or be trained for longer."""
        return replace(self.generators, without=recipe.without, steps=recipe.steps)

    def guide(self, recipe: Recipe, generator: RecordGenerator) -> ClassifierFolder:
        """The classifier that a guide follows, and the rows that it serves."""
        return self.generators.guide()

    @property
    def _balanced(self) -> bool:
        return float(self.budget.labelled.train.label.mean()) < RARE

    def _alone_labels(self, size: int) -> NDArray[np.int64]:
        """Labels of the synthetic rows that are judged alone; in random order, so that the first of each class are any."""
        counts = np.bincount(self.budget.labelled.train.label, minlength=2).tolist()
        wanted = size or max(sum(counts), self.study.fewest)
        return draw_labels("balanced" if self._balanced else "train", counts, wanted, self.seed)

    def _alone_rows(self, label: NDArray[np.int64], size: int, recipe: Recipe) -> NDArray[np.intp]:
        """Rows of a pool with those labels, in their order, so that any first rows are a fair part.

        Samples that were made elsewhere are taken as they are if they lack some.

        Raises:
            TardiffError: the recipe made too few rows of a class.
        """
        wanted = self._alone_labels(size)
        have, need = (np.bincount(of, minlength=2) for of in (label, wanted))
        if (have < need).any():
            if recipe.samples is not None:
                return np.arange(len(label))
            raise TardiffError(f"{have.tolist()} rows of the classes were made, {need.tolist()} are needed")
        rows = np.empty(len(wanted), np.intp)
        for c, n in enumerate(need):
            rows[wanted == c] = np.flatnonzero(label == c)[:n]
        return rows

    def pool_labels(self) -> NDArray[np.int64]:
        """Labels of all rows that are drawn: enough of each class for the rows alone and for those that are added."""
        asked = [self._alone_labels(size) for size in self.study.sizes]
        if self.study.adds:
            asked.append(self._to_add)
        most = np.max([np.bincount(label, minlength=2) for label in asked], axis=0)
        return np.random.default_rng(self.seed).permutation(np.repeat([0, 1], most)).astype(np.int64)

    @property
    def _to_add(self) -> NDArray[np.int64]:
        """Labels of the most rows that are added."""
        return labels_to_add(np.bincount(self.budget.labelled.train.label, minlength=2), max(self.protocol.ratios), both=True)

    def added(self, row: str) -> dict[str, Any]:
        """Judges trained on real rows, weighed or with others, as validation rows choose; by judge."""
        found = {}
        for judge in self.study.judges:
            self.comparison.settings = replace(self.comparison.settings, model=judge)  # type: ignore[arg-type]
            cell = self.comparison.cell(row, self.seed)
            figures = cell["groups"]["all"]
            values = {name: figures["values"][name] for name in KEPT}
            more = {"validation": round(cell["validation_auprc"], 5), "chosen": cell["chosen"], "rows": cell["rows"]}
            found[judge] = values | more | {"draws": condensed(figures["draws"]["auprc"])}
        return found

    def _judged(self, sets: RowSets, learn: Parts) -> dict[str, Any]:
        """Judges trained on some rows as they are; by judge."""
        label, found = self.budget.judged.label, {}
        fits = {judge: judge_fit(judge, learn, {"judged": (Part("judged"),)}, self.seed, sets) for judge in self.study.judges}
        done = self._fitted(list(fits.values()), sets)
        for judge, fit in fits.items():
            of_judge = judged(label, done[fit]["judged"][None], self.comparison.resamples, METRICS)
            values = {name: _number(of_judge[name][0, 0]) for name in KEPT if name in of_judge}
            found[judge] = values | {"draws": condensed(of_judge["auprc"][:, 0])}
        return found

    def _trts(self, sets: RowSets, role: str) -> float | None:
        """AUROC on some rows of trees that learnt from real ones: whether labels mean what real labels do."""
        fit = judge_fit("trees", (Part("train"),), {role: (Part(role),)}, self.seed, sets)
        label = sets.rows[role].label
        return _number(auroc(label, self._fitted([fit], sets)[fit][role], np.ones((1, len(label)), np.float32))[0])

    def _fitted(self, fits: list[Fit], sets: RowSets) -> Mapping[Fit, Any]:
        return run_fits(fits, sets, 1, Cache(self.work.folder / "fits"))


def _number(value: float) -> float | None:
    return round(float(value), 5) if np.isfinite(value) else None
