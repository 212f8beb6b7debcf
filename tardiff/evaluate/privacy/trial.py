"""A membership trial: rows that were learnt, rows that were not, and how well a score tells them apart."""

from dataclasses import dataclass
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
from tardiff.evaluate.privacy.closest import RESAMPLES

RATES = (0.01, 0.001)
FEWEST = 5
"""False alarms that a false positive rate must stand for, or the true positive rate at it is a matter of luck."""
POINTS = 100

Score = NDArray[np.float64]
"""Of the members, then of the others, [members + others]; higher means "was learnt"."""


@dataclass(frozen=True)
class Trial:
    """Rows under attack.

    Attributes:
        members: rows that were learnt, in an order that was drawn.
        others: held-out rows, which were not; rows of one split after the other.
        reference: real rows of further patients, which taught nothing either: what the attacker knows of patients in general.
        learnt: what the members are: rows that taught the generator (`train`), or rows that a guide serves (`guidance`).
        seed: of the rows drawn and the resamples.
        first: how many of the others are of the first split.
    """

    members: Split
    others: Split
    reference: Split
    learnt: str
    seed: int
    first: int = 0

    @classmethod
    def draw(cls, real: Dataset, split: str, learnt: str, most: int, seed: int, outsiders: tuple[str, ...] = ("test",)) -> "Trial":
        """Up to `most` rows of `split` against up to `most` rows of outsiders: of half of the patients of `outsiders`.

        The other half of these patients is the reference, and so are validation rows that are neither members nor among the outsiders.
        """
        members, halves, reference = real.split(split), [], []
        for name in outsiders:
            rows = real.split(name)
            patients = stream(f"outsiders/{name}", seed).permutation(np.unique(rows.subject_id))
            outside = np.isin(rows.subject_id, patients[: len(patients) // 2])
            halves.append(rows.take(np.flatnonzero(outside)))
            reference.append(rows.take(np.flatnonzero(~outside)))
        if "validation" not in (split, *outsiders):
            reference.append(real.split("validation"))
        others = Split.concatenate(halves)
        if not len(members) or not len(others):
            raise TardiffError(f"membership attacks on {split} rows need a {split} row and two held-out patients at least")
        random = stream(f"attacked/{split}", seed)
        some = random.permutation(len(members))[:most]
        kept = np.sort(random.permutation(len(others))[:most])
        first = int((kept < len(halves[0])).sum())
        return cls(members.take(some), others.take(kept), Split.concatenate(reference), learnt, seed, first)

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
        - `control`: the same probability of others of the first split against those of the rest, none of whom was learnt: 0.5, unless the
          attack tells one split from another; None if all others are of one split.
        - `roc`: the curve, at most 200 points.

        Args:
            box: "black" if it sees synthetic rows only, "white" if it sees the model.
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
            "auc": estimate(auroc(label, score, weights), len(label), min(len(self.members), len(self.others)), share=True),
            "control": self._control(score[len(self.members) :]),
            "tpr": tpr,
            "reason": _reason(few, len(self.others)),
            "roc": _curve(label, score),
        }

    def _control(self, score: Score) -> dict[str, Any] | None:
        """AUC of others against others."""
        smaller = min(self.first, len(self.others) - self.first)
        if not smaller:
            return None
        draws = auroc((np.arange(len(score)) < self.first).astype(np.int64), score, self.weights[1])
        return estimate(draws, len(score), smaller, share=True)

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
