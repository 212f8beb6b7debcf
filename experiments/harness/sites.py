"""Cells of a hospital with few labelled stays, to which another sends a generator and a classifier: rows of `tardiff compare --from`."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import msgspec

from experiments.harness.cell import Lab
from experiments.harness.data import Budget
from experiments.harness.generators import Generators
from experiments.harness.protocol import Cell, Recipe
from tardiff.classifier.folder import ClassifierFolder
from tardiff.compare.ladder import ALONE, Ladder, most
from tardiff.compare.run import Sent, opened_ladder
from tardiff.data.dataset import Dataset
from tardiff.evaluate.judges import Rows
from tardiff.model.pipeline import RecordGenerator, TarDiffPipeline
from tardiff.settings import CompareSettings, SiteSettings
from tardiff.synthesis.run import aimed, in_its_space


@dataclass
class Sites(Lab):
    """A study with a `sender`, with one seed: of the sender's generator and classifier, and of the local rows that are drawn.

    Attributes:
        told: what guidance did to the samples that were drawn last.
    """

    told: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def comparison(self) -> Ladder:
        """`tardiff compare --from` on the local rows; synthetic rows are handed to it."""
        settings = CompareSettings(ratios=self.protocol.ratios, bootstrap=self.protocol.resamples, workers=1)
        data = Dataset(self.budget.labelled.manifest, {"train": self.budget.labelled.train, "test": self.budget.judged}).completed()
        regime = self.protocol.regimes[self.study.regime]
        sent = Sent(self.generators.base, self.generators.guide(), self.budget.sent)
        ladder = opened_ladder(data, settings, SiteSettings(local=regime.local, rows=regime.rows), self.work.folder, sent)
        ladder.received = self.generators.guide_folder()
        return ladder

    @cached_property
    def generators(self) -> Generators:
        """The sender's, which studies of its own rows share."""
        assert self.budget.sent is not None  # the study has a sender
        sent = self.budget.sent
        study = msgspec.structs.replace(self.study, regime="all")
        return Generators(self.protocol, study, Budget(sent, sent, sent.split("validation")), self.seed, self.work)

    def found(self, cell: Cell) -> dict[str, Any]:
        """The figures of a cell; samples are drawn first."""
        recipe, ladder, way = self.protocol.recipe(cell), self.comparison, (cell.row.removesuffix(ALONE), self.seed)
        if recipe is not None and way not in ladder.drawn:  # the last ones serve with local rows and alone
            made, self.told, _ = self.made(cell, recipe)
            ladder.drawn = {way: Rows.of(made.train, ladder.codec)}
        return (self.told if recipe else {}) | {"added": self.added(cell.row)}

    def generator(self, recipe: Recipe) -> RecordGenerator:
        """The sender's, or that one, adapted to the local rows of the seed."""
        if recipe.generator != "adapted":
            return super().generator(recipe)
        local = self.comparison.local_data(self.seed)
        path = self.work.once(
            f"adapted {self.study.regime} {self.seed}",
            [local.manifest.content_hash, self.generators.base.card.data_hash, self.seed, self.study.generator],
            lambda path: self.comparison.adapt(self.seed, path),
        )
        return TarDiffPipeline.from_pretrained(path)

    def guide(self, recipe: Recipe, generator: RecordGenerator) -> ClassifierFolder:
        """The sender's classifier, aimed at the local rows or left as it came."""
        folder = in_its_space(super().guide(recipe, generator), generator)
        return folder if recipe.aim == "sender" else aimed(folder, generator, self.comparison.local_data(self.seed))

    def pool_labels(self) -> Any:
        """Labels of all rows that are drawn; the positive ones first, as `tardiff compare` has them."""
        rows = self.comparison.local("local", self.seed)
        return most(self.comparison.wanted(float(self.comparison.data.train.label[rows].mean())))
