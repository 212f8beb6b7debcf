"""A membership trial: rows that were learnt, rows that were not, and how well a score tells them apart."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from tardiff.base.noise import stream
from tardiff.data.dataset import Dataset, Split
from tardiff.errors import TardiffError
from tardiff.evaluate.bootstrap import Draws, group_weights
from tardiff.evaluate.intervals import estimate, highest_unseen
from tardiff.evaluate.metrics import auroc, true_positive_rate

RESAMPLES = 200
RATES = (0.01, 0.001)
FEWEST = 10  # false alarms that a false positive rate must stand for, or the true positive rate at it is a matter of luck
POINTS = 100

Score = NDArray[np.float64]
"""Of the members, then of the others, [2 n]; higher means "was learnt"."""


@dataclass(frozen=True)
class Trial:
    """Rows under attack.

    Attributes:
        members: rows that were learnt, in an order that was drawn.
        others: as many test rows, which were not.
        reference: real rows that are neither, and that taught nothing: what the attacker knows of patients in general.
        learnt: what the members are: rows that taught the generator (`train`), or rows that a guide serves (`guidance`).
        seed: of the rows drawn and the resamples.
    """

    members: Split
    others: Split
    reference: Split
    learnt: str
    seed: int

    @classmethod
    def draw(cls, real: Dataset, split: str, learnt: str, most: int, seed: int) -> "Trial":
        """Up to `most` rows of `split` against as many test rows; at least half of the test rows stay for the reference.

        Validation rows join the reference, unless they are the members.

        Raises:
            TardiffError: there are too few rows for a trial.
        """
        members, test = real.split(split), real.split("test")
        rows = min(most, len(members), len(test) // 2)
        if rows < 1:
            raise TardiffError(f"membership attacks on {split} rows need a {split} row and two test rows at least")
        random = stream(f"attacked/{split}", seed)
        some, order = random.permutation(len(members))[:rows], random.permutation(len(test))
        rest = [test.take(order[rows:])] + ([real.split("validation")] if split == "train" else [])
        return cls(members.take(some), test.take(order[:rows]), Split.concatenate(rest), learnt, seed)

    def few(self, rows: int) -> "Trial":
        """The same trial of at most so many members and as many others."""
        return replace(self, members=self.members.take(slice(rows)), others=self.others.take(slice(rows)))

    @cached_property
    def rows(self) -> Split:
        """The members, then the others: what an attack scores."""
        return Split.concatenate([self.members, self.others])

    @cached_property
    def weights(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Resamples of the members' patients and of the others', [1 + B, n] each; all attacks of a trial share them."""
        random = stream("attack resamples", self.seed)
        return group_weights(self.members.subject_id, RESAMPLES, random), group_weights(self.others.subject_id, RESAMPLES, random)

    def judged(self, attack: str, box: str, score: Score) -> dict[str, Any]:
        """What an attack found, as it is written down.

        - `auc`: probability that a member scores above a stranger, 0 to 1; 0.5 if the attack learns nothing.
        - `tpr`: share of members found while at most 1 % (0.1 %) of the others are (arXiv 2112.03570); None, with the `reason`,
          where fewer than `FEWEST` others make up that share.
        - `roc`: the curve, at most 200 points.

        Args:
            attack: its name.
            box: "black" if it sees synthetic rows only, "white" if it sees the model.
            score: of `rows`, [2 n].
        """
        label = np.repeat([1, 0], [len(self.members), len(self.others)])
        weights = np.concatenate(self.weights, axis=1)
        few = [rate for rate in RATES if round(len(self.others) * rate, 6) < FEWEST]
        tpr = {f"{r:g}": None if r in few else self._found(true_positive_rate(label, score, weights, r), r) for r in RATES}
        return {
            "attack": attack,
            "box": box,
            "members": self.learnt,
            "n_members": len(self.members),
            "n_others": len(self.others),
            "auc": estimate(auroc(label, score, weights), len(label), len(self.members), share=True),
            "tpr": tpr,
            "reason": _reason(few, len(self.others)),
            "roc": _curve(label, score),
        }

    def _found(self, draws: Draws, rate: float) -> dict[str, Any]:
        """A true positive rate; it rests on the false alarms that set its threshold, and is never surely 0."""
        found = estimate(draws, len(self.members), round(len(self.others) * rate))
        if found["high"] is None:
            return found
        return found | {"low": max(found["low"], 0.0), "high": min(max(found["high"], highest_unseen(len(self.members))), 1.0)}


def _reason(few: list[float], others: int) -> str | None:
    if not few:
        return None
    needs = " and ".join(f"{rate:.1%} needs {round(FEWEST / rate):,}" for rate in few)
    return f"a true positive rate rests on at least {FEWEST} false alarms: {needs} held-out rows, there are {others:,}"


def _curve(label: NDArray[np.int64], score: Score) -> dict[str, list[float]]:
    """The ROC curve, thinned evenly and, for its left end, geometrically."""
    fpr, tpr, _ = roc_curve(label, score)
    last = len(fpr) - 1
    kept = np.unique(np.rint(np.concatenate([np.linspace(0, last, POINTS), np.geomspace(1, max(last, 1), POINTS)])).astype(int))
    return {"fpr": fpr[kept].tolist(), "tpr": tpr[kept].tolist()}
