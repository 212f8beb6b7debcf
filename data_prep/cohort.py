"""Which stays are eligible, and what their label is. Every rule is counted, and says whether it looks ahead."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_prep.kidney import VARIABLES
from data_prep.settings import PrepareSettings
from data_prep.sources.table_layout import COLUMNS, LAYOUT
from data_prep.tasks import TRUE, UNKNOWN, Condition, NamedTask, Task, built_in_tasks, truth
from tardiff.data.dataset import AttritionStep
from tardiff.errors import TardiffError

LATER = frozenset({"origin_minute", "coverage", *VARIABLES})
"""Columns that are computed after the source has given its stays."""


def check_columns(stays: pd.DataFrame, named: NamedTask, settings: PrepareSettings, source: str) -> None:
    """The source knows what the task asks for.

    Raises:
        TardiffError: naming the task, the column and the source.
    """
    missing = sorted(named.task.columns - set(stays.columns) - LATER)
    if missing:
        able = [name for name, task in built_in_tasks().items() if task.columns <= set(stays.columns) | LATER]
        hint = "give the onsets with --onset" if missing[0] == "onset_minute" else f"its tasks are {', '.join(able)}"
        if source == "table" and missing[0] in COLUMNS:
            hint = f"write `{COLUMNS[missing[0]]}: COLUMN` under `stays:` in {LAYOUT} if its table has one; without it {hint}"
        raise TardiffError(f"task {named.name}: needs the column {missing[0]}, which the stays of {source} do not have; {hint}")
    if settings.onset is not None and "onset_minute" not in named.task.columns:
        raise TardiffError(f"onset: the task {named.name} reads no onset_minute; leave --onset out or choose sepsis3")
    if settings.stays_of_patient == "first" and "order" not in stays:
        raise TardiffError(f"stays_of_patient first: the stays of {source} have no order in time; choose all")


def eligible(
    stays: pd.DataFrame, named: NamedTask, settings: PrepareSettings, silent: bool = False
) -> tuple[pd.DataFrame, tuple[AttritionStep, ...]]:
    """Apply the rules one after the other.

    Args:
        stays: as `Source.stays` gives them, with the columns of `LATER` that the task reads, origin_minute and coverage; `given`
            as the index of a class if it is the task's label.
        named: gives label and rules.
        settings: the limits that hold for every task.
        silent: whether a stay of which nothing is observed stays.

    Returns:
        The stays that remain, with an int64 column `label`, and how many remained after each rule.

    Raises:
        TardiffError: no stay remains, naming the rule.
    """
    lengths = {"window": 60.0 * settings.hours, "horizon": named.task.horizon_minutes}
    task_label = named.task.label
    label = truth(task_label, stays, lengths) if isinstance(task_label, Condition) else stays["given"].to_numpy(np.float64)
    label = np.where(label == UNKNOWN, np.nan, label)
    kept = np.ones(len(stays), bool)
    steps = []
    for rule, holds, looks_ahead in _rules(stays, named.task, settings, label, lengths, silent):
        kept &= holds
        left = stays[kept]
        steps.append(AttritionStep(rule, len(left), left["subject_id"].nunique(), looks_ahead))
        if left.empty:
            raise TardiffError(f"cohort: no stay is left after the rule {rule!r}; check the raw files, --hours and --variables")
    if named.task.origin != "window" and (stays["origin_minute"][kept] < lengths["window"]).any():
        raise TardiffError(f"task {named.name}: keeps stays that are shorter than the window; add a rule, origin_minute at_least window")
    return stays[kept].assign(label=label[kept].astype(np.int64)), tuple(steps)


def _rules(
    stays: pd.DataFrame, task: Task, settings: PrepareSettings, label: NDArray[np.float64], lengths: dict[str, float], silent: bool
) -> Iterator[tuple[str, NDArray[np.bool_], bool]]:
    """Each rule's text, whether it holds [N], and whether it looks ahead."""
    age, minutes, coverage = (stays[name].to_numpy(np.float64) for name in ("age", "minutes", "coverage"))
    yield "every stay", np.ones(len(stays), bool), False
    if settings.stays_of_patient == "first":
        yield "the patient's first stay", stays["order"].to_numpy() == 0, False
    yield f"age at least {settings.min_age:g} where known", ~(age < settings.min_age), False
    if settings.max_age is not None:
        yield f"age at most {settings.max_age:g} where known", ~(age > settings.max_age), False
    if settings.min_stay_hours is not None:
        yield f"at least {settings.min_stay_hours:g} h long", minutes >= 60 * settings.min_stay_hours, True
    if settings.max_stay_hours is not None:
        yield f"at most {settings.max_stay_hours:g} h long", minutes <= 60 * settings.max_stay_hours, True
    yield "the outcome is known", ~np.isnan(label), True
    if np.isnan(minutes).any():
        yield "the end of the stay is known", ~np.isnan(minutes), True
    for rule in task.keep:
        yield task.say(rule.rule, settings.hours), truth(rule.when, stays, lengths) == TRUE, rule.looks_ahead
    if "death_minute" in stays:  # of those who die in a unit, the stay ends hours later
        dead = stays["death_minute"].to_numpy(np.float64) <= stays["origin_minute"].to_numpy(np.float64)
        yield "the patient is alive at the end of the window, where the time of death is known", ~dead, False
    if not silent:
        yield "a selected variable is observed in the window", coverage > 0, False
    if settings.min_coverage > 0:
        yield f"something observed in at least {settings.min_coverage:.0%} of the window", coverage >= settings.min_coverage, False
