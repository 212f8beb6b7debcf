"""Predicted against realised influence: networks trained from scratch on 30 groups of synthetic samples.

Held-out unguided samples are sorted by their predicted influence within each class and cut into 30 groups of the same class
balance. A network is trained from scratch on each group alone (three seeds), and the fall of its loss on the guidance rows, from
that of knowing only the share of deaths, is compared with the group's mean prediction.

    python -m experiments.guidance.groups --data runs/p12/data --work runs/guidance --out experiments/guidance/groups
"""

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from experiments.guidance.cells import Lab, asked_for
from tardiff.base.estimates import shown
from tardiff.base.files import write_json
from tardiff.base.noise import row_seeds
from tardiff.evaluate.judges import Rows
from tardiff.evaluate.plots import save_png
from tardiff.evaluate.row_sets import Part, RowSets
from tardiff.evaluate.train_and_judge import judge_fit
from tardiff.guidance.influence import cosine, raw
from tardiff.guidance.objectives import Objective, log_probability
from tardiff.synthesis.diagnosis import rank_correlation
from tardiff.synthesis.selection import influence_scores

GROUPS = 30
ROWS = (75, 25)  # of each class in a group
FITS = 3
JUDGES = ("gru", "logistic")
FIRST_ROW = 2**20  # row numbers that no other sample of the experiment has


def main() -> None:
    """Compare, write numbers and picture."""
    lab, out = asked_for(__doc__, "name of the JSON and PNG file to write")
    pool = samples(lab, [GROUPS * rows for rows in ROWS], FIRST_ROW)
    sets = RowSets({"pool": pool, "guidance": lab.sets.rows["train"]})
    folder = lab.classifiers("committee")[0]
    forms: dict[str, Objective] = {
        "raw": raw(folder),
        "cosine": cosine(folder),
        "log-probability of the label": log_probability(folder.classifier),
    }
    result = {}
    for form, objective in forms.items():
        predicted = influence_scores(objective, torch.tensor(pool.seen), torch.tensor(pool.label))
        groups = sorted_groups(predicted, pool.label)
        mean = np.array([predicted[rows].mean() for rows in groups])
        result[form] = {"predicted": mean.tolist()}
        for judge in JUDGES:
            realised = falls(lab, judge, groups, sets)
            correlation = rank_correlation(mean, realised, seed=0)
            result[form][judge] = {"realised": realised.tolist(), "spearman": list(correlation)}
            print(f"{form:<30} {judge:<10} Spearman {shown(*correlation, signed=True, digits=2)}", flush=True)
    write_json(out.with_suffix(".json"), result)
    save_png(picture(result), out.with_suffix(".png"))


def samples(lab: Lab, rows: list[int] | tuple[int, ...], first: int) -> Rows:
    """Unguided samples, so many of each class."""
    label = np.repeat(np.arange(len(rows)), rows)
    pipeline = lab.generator
    return lab.rows(pipeline.dataset(pipeline(label, row_seeds(lab.seed, range(first, first + len(label)))), {}).train)


def sorted_groups(score: NDArray[np.float64], label: NDArray[np.int64]) -> list[NDArray[np.intp]]:
    """Row numbers of each group, by ascending score, with `ROWS` of each class."""
    ranked = [np.flatnonzero(label == c)[np.argsort(score[label == c], kind="stable")] for c in range(len(ROWS))]
    return [np.concatenate([rows[k * n : (k + 1) * n] for rows, n in zip(ranked, ROWS, strict=True)]) for k in range(GROUPS)]


def falls(lab: Lab, judge: str, groups: list[NDArray[np.intp]], sets: RowSets) -> NDArray[np.float64]:
    """How far below the loss of the class shares alone a judge trained on each group brings the guidance loss, [groups]."""
    ask, label = {"guidance": (Part("guidance"),)}, sets.rows["guidance"].label
    fits = [[judge_fit(judge, (Part.of("pool", rows),), ask, seed, sets) for seed in range(FITS)] for rows in groups]
    done = lab.run([fit for of_group in fits for fit in of_group], sets)
    died = np.array([[done[fit]["guidance"] for fit in of_group] for of_group in fits])
    loss = -np.log(np.maximum(np.where(label == 1, died, 1 - died), 1e-6)).mean(axis=(1, 2))
    share = np.bincount(label) / len(label)
    return -(share * np.log(share)).sum() - loss


def picture(result: dict[str, dict]) -> Figure:
    """One scatter a form and judge."""
    figure = Figure(figsize=(3.2 * len(result), 3 * len(JUDGES)), layout="constrained")
    axes = figure.subplots(len(JUDGES), len(result), squeeze=False, sharey="row")
    for column, (form, cell) in enumerate(result.items()):
        for row, judge in enumerate(JUDGES):
            axis = axes[row, column]
            axis.scatter(cell["predicted"], cell[judge]["realised"], s=18, color="#0072B2", alpha=0.8)
            axis.set_title(f"{form}: {cell[judge]['spearman'][0]:+.2f}", fontsize=10)
            axis.spines[["top", "right"]].set_visible(False)
        axes[-1, column].set_xlabel("predicted influence, mean of the group")
    for row, judge in enumerate(JUDGES):
        axes[row, 0].set_ylabel(f"{judge}: fall of the guidance loss")
    return figure


if __name__ == "__main__":
    main()
