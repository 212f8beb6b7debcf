"""The gate: synthetic rows are added only if they make models better on real rows that were held out, by more than chance.

Repeated stratified cross-validation inside the training rows, whole patients at a time. For each fold everything is done afresh with
the rows inside it: generator, guides, samples; models then learn from these rows with and without the samples, and are asked about the
rows outside. So no row judges what has learnt from it. TAP (arXiv 2605.10315) commits batches by such a rule.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tardiff.augment.generate import Generated
from tardiff.base.noise import stream
from tardiff.base.progress import bar
from tardiff.base.threads import one_thread
from tardiff.data.codec import Codec
from tardiff.data.dataset import Dataset, Split
from tardiff.data.holdout import folds
from tardiff.errors import InputError
from tardiff.evaluate.judges import Rows, fit_judge
from tardiff.evaluate.metrics import auprc

FOLDS, REPEATS = 3, 2
LEARNERS = ("logistic", "trees")

Make = Callable[[NDArray[np.bool_], NDArray[np.int64], Sequence[Generated]], Generated]
"""From the training rows of a fold [N], the labels that are wanted, and what was made before of the same fold, to synthetic rows."""


@dataclass(frozen=True)
class Gain:
    """Change of the area under the precision-recall curve on held-out rows, and its standard error."""

    value: float
    error: float

    @property
    def commits(self) -> bool:
        """Whether the rows are worth adding."""
        return self.value > self.error

    def __str__(self) -> str:
        return f"held-out AUPRC {self.value:+.3f} (standard error {self.error:.3f})"


def gain(difference: NDArray[np.floating], held_out: float) -> Gain:
    """Mean of the folds' differences [n] and its error.

    Folds share training rows, and repeats share all rows, so the variance of the mean is more than an n-th of theirs: Nadeau & Bengio's
    correction (Machine Learning 52:239, 2003) adds the ratio of held-out to training rows.
    """
    variance = difference.var(ddof=1) * (1 / len(difference) + held_out / (1 - held_out))
    return Gain(float(difference.mean()), float(variance**0.5))


@dataclass(frozen=True)
class Gated:
    """What passed the gate, batch by batch, and the gain of each batch that was tried: only the last one may not have passed."""

    made: list[Generated] = field(default_factory=list)
    gains: list[Gain] = field(default_factory=list)

    def __str__(self) -> str:
        gains = "; ".join(map(str, self.gains))
        rows = sum(len(made.rows) for made in self.made)
        return f"the gate lets {rows:,} rows through: {gains}" if rows else f"the gate lets nothing through, no row is added: {gains}"


@dataclass
class _Fold:
    """Rows inside and outside of a fold, as models read them, what was made of the first, and the utility of both together."""

    inside: NDArray[np.bool_]
    codec: Codec
    learn: Rows
    ask: Rows
    utility: float = 0.0
    made: list[Generated] = field(default_factory=list)

    @classmethod
    def of(cls, data: Dataset, inside: NDArray[np.bool_], outside: NDArray[np.bool_]) -> "_Fold":
        """The fold of a data set's training rows."""
        real = data.train.take(inside)
        codec = Codec.fit(real, data.manifest)
        return cls(inside, codec, Rows.of(real, codec), Rows.of(data.train.take(outside), codec))


def gated(data: Dataset, label: NDArray[np.int64], make: Make, batches: int, seed: int, progress: bool = True) -> Gated:
    """Make synthetic rows in batches until one does not help.

    Args:
        label: of all synthetic rows that are wanted, [n].
        batches: equal parts of the labels, each of which must pass on its own; guides learn from those that have passed.
    """
    result, classes = Gated(), len(data.manifest.task.classes)
    everything = np.ones(len(data.train), bool)
    parts = [part for part in (label[k::batches] for k in range(batches)) if len(part)]
    with one_thread(), bar(shown=progress, total=len(parts) * FOLDS * REPEATS, desc="gate", unit="fold") as moved:
        parted = [_Fold.of(data, inside, outside) for inside, outside in held_out_folds(data.train, classes, seed)]
        for fold in parted:
            fold.utility = utility(fold.learn, fold.ask, classes, seed)
        for part in parts:
            tried = []
            for number, fold in enumerate(parted):
                order = stream("gate", seed, number).permutation(len(part))
                some = part[np.sort(order[: max(1, round(fold.inside.mean() * len(part)))])]
                new = make(fold.inside, some, fold.made)
                learn = fold.learn.join(Rows.of(new.rows, fold.codec))
                tried.append((new, learn, utility(learn, fold.ask, classes, seed)))
                moved.update()
            difference = np.array([better - fold.utility for fold, (*_, better) in zip(parted, tried, strict=True)])
            result.gains.append(gain(difference, 1 / FOLDS))
            if not result.gains[-1].commits:
                break
            result.made.append(make(everything, part, result.made))
            for fold, (new, fold.learn, fold.utility) in zip(parted, tried, strict=True):
                fold.made.append(new)
    return result


def held_out_folds(rows: Split, classes: int, seed: int) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Rows inside and outside of each fold of each repeat, [N]; a patient is on one side, and every class on both."""
    patients = [len(np.unique(rows.subject_id[rows.label == c])) for c in range(classes)]
    found = 0
    for repeat in range(REPEATS if min(patients) >= FOLDS else 0):
        for fold in folds(rows.label, rows.subject_id, FOLDS, int(stream("gate folds", seed, repeat).integers(2**31))):
            found += 1
            yield fold
    if found < FOLDS:
        raise InputError(f"the gate needs {FOLDS} folds with patients of every class; the rarest class has {min(patients)}: drop the gate")


def utility(learn: Rows, ask: Rows, classes: int, seed: int) -> float:
    """Area under the precision-recall curve of `LEARNERS` that learn from some rows, on others; their mean.

    Of two classes that of the second, of more the mean over classes.
    """
    alike = np.ones((1, len(ask)), np.float32)
    predicted = [fit_judge(learner, learn, seed, classes)(ask) for learner in LEARNERS]
    positive = (1,) if classes == 2 else range(classes)
    scores = [auprc((ask.label == c).astype(np.int64), probability[:, c], alike)[0] for probability in predicted for c in positive]
    return float(np.mean(scores))
