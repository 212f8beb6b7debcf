"""Which stays are eligible, and what their label is."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tardiff.dataset import AttritionStep, Task
from tardiff.errors import TardiffError

ADULT_YEARS = 18


@dataclass(frozen=True)
class LabelledTask:
    """A task and how a stay's outcome becomes its label (an index into the classes; NaN if unknown)."""

    task: Task
    label: Callable[[pd.DataFrame], "pd.Series[float]"]


TASKS = {
    "in_hospital_death": LabelledTask(
        Task("in_hospital_death", "1 if the patient died before leaving the hospital", ("survived", "died")),
        lambda stays: stays["died"],
    )
}


def find_task(name: str) -> LabelledTask:
    """A task by name.

    Raises:
        TardiffError: there is no such task.
    """
    if name not in TASKS:
        raise TardiffError(f"task: {name!r} is not known; choose {', '.join(TASKS)}")
    return TASKS[name]


def eligible(
    stays: pd.DataFrame, task: LabelledTask, hours: float, observed: NDArray[np.bool_]
) -> tuple[pd.DataFrame, tuple[AttritionStep, ...]]:
    """Apply the rules one after the other.

    Args:
        stays: as `Source.stays` gives them.
        task: gives the label.
        hours: length of the observation window.
        observed: [N] whether a stay has any selected variable in the window.

    Returns:
        The stays that remain, with an int64 column `label`, and how many remained after each rule.

    Raises:
        TardiffError: no stay remains, naming the rule.
    """
    label = task.label(stays)
    rules = (
        ("every stay", pd.Series(True, stays.index), False),
        (f"age at least {ADULT_YEARS} where known", ~(stays["age"] < ADULT_YEARS), False),
        ("the outcome is known", label.notna(), True),
        (f"the stay lasts at least {hours:g} h", stays["minutes"] >= hours * 60, True),
        ("a selected variable is observed in the window", pd.Series(observed, stays.index), False),
    )
    kept = pd.Series(True, stays.index)
    steps = []
    for rule, holds, looks_ahead in rules:
        kept &= holds
        left = stays[kept]
        steps.append(AttritionStep(rule, len(left), left["subject_id"].nunique(), looks_ahead))
        if left.empty:
            raise TardiffError(f"cohort: no stay is left after the rule {rule!r}; check the raw files, --hours and --variables")
    return stays[kept].assign(label=label[kept].astype("int64")), tuple(steps)
