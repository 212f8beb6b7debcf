"""The rows of a cell: a data set under its named rule of splitting, a budget of it, and who is allowed to see test rows."""

import os
import subprocess
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_prep import PrepareSettings, prepare
from experiments.harness.protocol import HERE, Data, Protocol, Regime
from experiments.harness.shared import Work
from experiments.harness.static import collapse
from tardiff.base.ledger import Ledger
from tardiff.base.noise import stream
from tardiff.compare.ladder import evenly
from tardiff.data.dataset import SPLITS, Dataset, Split
from tardiff.data.holdout import with_held_out
from tardiff.errors import InputError

ROOT = HERE.parents[1]
CODE = (
    "tardiff",
    "data_prep",
    "experiments/harness/*.py",
    "experiments/harness/chosen.json",
    *(f"experiments/harness/{name}.yaml" for name in ("protocol", "hypotension", "sepsis_later", "stay_over_72h")),
)


@dataclass(frozen=True)
class Budget:
    """What a cell may read.

    Attributes:
        source: what the generator learns from; its labels may be gone.
        labelled: `train` to learn from and `validation` to choose by.
        judged: the rows that judge.
        sent: what another site's generator and classifier learn from.
    """

    source: Dataset
    labelled: Dataset
    judged: Split
    sent: Dataset | None = None


def folder_of(name: str, data: Data, work: Work) -> Path:
    """The prepared folder of a data set, prepared by the first who asks; or the `folder` that it names.

    Raises:
        InputError: TARDIFF_DATA is not set.
    """
    if "folder" in data.prepare:
        return Path(data.prepare["folder"])
    raw = os.environ.get("TARDIFF_DATA")
    if "raw" in data.prepare and not raw:
        raise InputError(f"{name}: TARDIFF_DATA must name the folder that holds {data.prepare['raw']}")
    asked = dict(data.prepare)
    if "raw" in asked:
        asked["raw"] = str(Path(str(raw)) / asked["raw"])
    identity: Any = data.prepare
    if str(asked.get("task", "")).endswith(".yaml"):
        asked["task"] = str(HERE / asked["task"])
        identity = [data.prepare, Path(asked["task"]).read_text(encoding="utf-8")]  # another rule of labels is another data set
    return work.once(f"data/{name}", identity, lambda path: prepare(PrepareSettings(out=str(path), **asked)))


def opened(protocol: Protocol, study: str, folder: Path, openings: Ledger) -> Dataset:
    """The data set of a study under its rule; test rows are in it only if the study may read them, and that is written down.

    Args:
        protocol: says who may.
        study: its name.
        folder: the prepared data set.
        openings: where an opening of test rows is recorded, with date and commit.

    Raises:
        InputError: as `to_judge`.
    """
    asked, name = protocol.studies[study], protocol.studies[study].data
    if asked.reads == "test":
        return to_judge(protocol, study, name, folder, openings)
    return without_test(arranged(Dataset.load(folder), protocol.data[name]))


def to_judge(protocol: Protocol, study: str, name: str, folder: Path, openings: Ledger) -> Dataset:
    """The data set `name` with its test rows, after the opening is written down; arguments as of `opened`.

    Raises:
        InputError: the study reads test rows that are not for it, or other ones than it has read before, or they would be opened by code
            which no commit holds.
    """
    rule = protocol.data[name]
    if study not in rule.test_for:
        raise InputError(f"study {study}: may not read the test rows of {name}, which are for {', '.join(rule.test_for)}")
    commit, changed = committed()
    if changed:
        raise InputError(f"{changed[0]} is not committed; what reads test rows must be, so that it is known what read them")
    data = arranged(Dataset.load(folder), rule)
    before = openings.find(data=name, study=study)
    if before and before["content"] != data.manifest.content_hash:
        raise InputError(f"study {study}: {folder} does not hold the rows that were opened on {before['date']}; begin another ledger")
    opening = {"data": name, "study": study, "commit": commit, "content": data.manifest.content_hash}
    if not openings.find(**opening):
        openings.add(opening | {"date": date.today().isoformat(), "rows": len(data.split("test"))})
    return data


def without_test(data: Dataset) -> Dataset:
    """The data set without its test rows."""
    return Dataset(data.manifest, {role: split for role, split in data.splits.items() if role != "test"}).completed()


def committed() -> tuple[str, list[str]]:
    """The commit that runs (`none` outside of a clone), and files of the code that differ from it."""

    def git(*arguments: str) -> str:
        return subprocess.run(("git", *arguments), cwd=ROOT, capture_output=True, text=True, check=True).stdout

    try:
        changed = [line[3:] for line in git("status", "--porcelain", "--", *CODE).splitlines()]
        return git("rev-parse", "HEAD").strip()[:12], changed
    except (OSError, subprocess.CalledProcessError):
        return "none", []


def arranged(data: Dataset, rule: Data) -> Dataset:
    """The data set with its rows split as the protocol says: as they were prepared, or by the last digit of the patient's number."""
    splits = dict(data.splits)
    if rule.split != "as prepared":
        rows = Split.concatenate(list(data.splits.values()))
        rows = rows.take(np.argsort(rows.stay_id, kind="stable"))
        splits = {name: rows.take(np.isin(rows.subject_id % 10, rule.split[name])) for name in SPLITS if name in rule.split}
    if rule.without:
        place, limit = data.manifest.channel_names.index(rule.without[0]), rule.without[1]
        splits = {name: split.take(~(last_charted(split)[:, place] < limit)) for name, split in splits.items()}
    splits = {name: split.take(slice(rule.most.get(name))) for name, split in splits.items()}
    return Dataset(data.manifest, splits).completed()


def last_charted(split: Split) -> NDArray[np.float32]:
    """The last charted value of each channel of each row, [N, C]; NaN where there is none."""
    steps = split.mask.shape[2]
    last = steps - 1 - split.mask[..., ::-1].argmax(2)
    return np.take_along_axis(split.values, last[..., None], 2)[..., 0]


def budget(data: Dataset, regime: Regime, name: str, reads: str, seed: int) -> Budget:
    """What a regime allows with a seed.

    Args:
        data: with a test split only if that judges.
        regime: its rules.
        name: of it; which rows are in the budget is drawn from it and the seed.
        reads: rows that judge: `test`; or `validation`, which then choose nothing.
        seed: of the draw.
    """
    if regime.collapsed:
        data = collapse(data)
    train, validation = data.train, data.split("validation")
    if regime.local:
        return _local(data, regime.local, reads, seed)
    draw = stream(f"regime-{name}", seed)
    share = float(train.label.mean()) if regime.share is None else regime.share
    train, validation = (_drawn(s, n, share, draw) for s, n in ((train, regime.train), (validation, regime.validation)))
    labelled = Dataset(data.manifest, {"train": train, "validation": validation}).completed()
    if reads == "test":
        judged = data.split("test")
    elif regime.train is None:
        labelled, judged = with_held_out(labelled, seed), validation
    else:
        rows = Split.concatenate([data.train, data.split("validation")])
        judged = rows.take(~np.isin(rows.stay_id, np.concatenate([train.stay_id, validation.stay_id])))
    whole = labelled if not regime.unlabelled else Dataset(data.manifest, {k: data.split(k) for k in ("train", "validation")}).unlabelled()
    return Budget(whole, labelled, judged)


def _local(data: Dataset, count: int, reads: str, seed: int) -> Budget:
    """All local rows, in one split; or those that a ladder reads with a seed, and the others judge."""
    rows = Split.concatenate([data.train, data.split("validation")])
    if reads == "test":
        known, judged = rows, data.split("test")
    else:
        order = evenly(rows.label, seed)
        known, judged = rows.take(np.sort(order[:count])), rows.take(np.sort(order[count:]))
    labelled = Dataset(data.manifest, {"train": known}).completed()
    return Budget(labelled, labelled, judged)


def _drawn(split: Split, rows: int | None, share: float, draw: np.random.Generator) -> Split:
    if rows is None:
        return split
    positive = round(rows * share)
    return split.take(np.sort(np.concatenate([_some(split, 1, positive, draw), _some(split, 0, rows - positive, draw)])))


def _some(split: Split, label: int, count: int, draw: np.random.Generator) -> NDArray[np.intp]:
    rows = np.flatnonzero(split.label == label)
    if count > len(rows):
        raise InputError(f"the regime asks for {count} rows of class {label}; there are {len(rows)}")
    return draw.choice(rows, count, replace=False)
