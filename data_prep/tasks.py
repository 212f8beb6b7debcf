"""Tasks as data: `tasks.yaml`, or a file of the user's in the same form, loaded and checked; conditions as logic on columns.

Nothing in a task file is evaluated as text: a condition is a column, comparisons and limits.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_prep.yaml_files import read_yaml
from tardiff.data.dataset import Task as ManifestTask
from tardiff.errors import TardiffError

TASKS = Path(__file__).with_name("tasks.yaml")
DURATION = re.compile(r"(\d+(?:\.\d+)?) ?(min|h|d)")
MINUTES = {"min": 1.0, "h": 60.0, "d": 1440.0}
AHEAD = frozenset({"died", "minutes", "unit_minutes", "stays_in_admission", "given"})
"""Columns that say what is known only when the stay is over, or is the label itself; so do all times of events (`_minute`)."""

FALSE, UNKNOWN, TRUE = 0.0, 0.5, 1.0
"""Truth values: `all` is their minimum, `any` their maximum (Kleene's logic)."""


Value = str | bool | int | float
"""A class as a file of the user's names it."""


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of what a task file holds: immutable, and a misspelt field is an error."""


class Condition(_Entry, frozen=True):
    """A comparison of a column, or of a channel after the prediction, with limits, all of which must hold; or several conditions."""

    column: str | None = None
    channel: str | None = None
    for_: str | None = msgspec.field(default=None, name="for")
    """How long a channel keeps beyond its limits."""
    from_: str | None = msgspec.field(default=None, name="from")
    """`origin`, or how long after it a channel is first looked at."""
    to: str | None = None
    """How long after the origin a channel is looked at no more, or `horizon`."""
    since: str | None = None
    """`origin` or a column, which is subtracted first."""
    at_least: float | str | None = None
    above: float | str | None = None
    at_most: float | str | None = None
    below: float | str | None = None
    equals: float | str | None = None
    is_missing: bool | None = None
    all: tuple["Condition", ...] | None = None
    any: tuple["Condition", ...] | None = None

    @property
    def limits(self) -> dict[str, float | str]:
        """The comparisons that need an order, by name."""
        given = {name: getattr(self, name) for name in ORDER}
        return {name: limit for name, limit in given.items() if limit is not None}

    @property
    def span(self) -> tuple[str, str, str]:
        """`from`, `to` and `for` of a channel."""
        assert self.to is not None  # _problems saw to it
        return self.from_ or "origin", self.to, self.for_ or "0 min"

    @property
    def key(self) -> str:
        """The column that holds the truth of a condition on a channel."""
        return msgspec.json.encode(self).decode()

    def leaves(self) -> Iterator["Condition"]:
        """The comparisons inside."""
        for joined in (self.all, self.any):
            for condition in joined or ():
                yield from condition.leaves()
        if self.column is not None or self.channel is not None:
            yield self


ORDER = {"at_least": np.greater_equal, "above": np.greater, "at_most": np.less_equal, "below": np.less}


class Rule(_Entry, frozen=True):
    """One rule of a cohort."""

    rule: str
    looks_ahead: bool
    when: Condition


class Task(_Entry, frozen=True):
    """What a label says, which stays have one, and when the prediction is made."""

    rule: str
    label: Condition | Literal["given"]
    """When it is 1; or `given`: the class that comes with the records."""
    classes: tuple[Value, ...] = ()
    """Names of the classes in order; of `given` its values in order, if not as the source has them."""
    keep: tuple[Rule, ...] = ()
    origin: Literal["window", "hourly", "end", "given"] = "window"
    horizon: str | None = None

    @property
    def columns(self) -> frozenset[str]:
        """Every column that a condition reads."""
        named = {leaf.column for leaf in self.leaves} | {leaf.since for leaf in self.leaves}
        given = {"given"} if self.label == "given" else set()
        return frozenset(name for name in named | given if name not in (None, "origin"))

    @property
    def leaves(self) -> tuple[Condition, ...]:
        """Every comparison."""
        label = (self.label,) if isinstance(self.label, Condition) else ()
        return tuple(leaf for condition in (*label, *(rule.when for rule in self.keep)) for leaf in condition.leaves())

    @property
    def ahead(self) -> tuple[Condition, ...]:
        """The conditions on channels after the prediction."""
        return tuple(leaf for leaf in self.leaves if leaf.channel is not None)

    @property
    def reach_minutes(self) -> float:
        """How far beyond the prediction entries are read."""
        horizon = self.horizon_minutes
        return max([horizon, *(minutes_of(leaf.span[1], {"horizon": horizon}) for leaf in self.ahead)])

    @property
    def horizon_minutes(self) -> float:
        """How far ahead the label looks; 0 if the task names no horizon."""
        return 0.0 if self.horizon is None else duration(self.horizon)

    def say(self, text: str, window_hours: float) -> str:
        """A rule's text with the lengths of window and horizon in it."""
        return text.replace("{window}", f"{window_hours:g} h").replace("{horizon}", self.horizon or "")


class NamedTask(_Entry, frozen=True):
    """A task and its name."""

    name: str
    task: Task

    def described(self, hours: float) -> ManifestTask:
        """As a manifest records it."""
        return ManifestTask(self.name, self.task.say(self.task.rule, hours), tuple(map(str, self.task.classes)))


def find_task(choice: str | Path) -> NamedTask:
    """A built-in task by name, or the one task of a YAML file of the user's.

    Raises:
        TardiffError: there is no such task, or naming the file and entry that is wrong.
    """
    text = str(choice)
    if not text.endswith((".yaml", ".yml")):
        built_in = built_in_tasks()
        if text not in built_in:
            raise TardiffError(f"task: {text!r} is not known; choose {', '.join(built_in)}, or a YAML file (docs/reference/tasks.md)")
        return NamedTask(text, built_in[text])
    tasks = load_tasks(Path(text))
    if len(tasks) != 1:
        raise TardiffError(f"{text}: holds {len(tasks)} tasks ({', '.join(tasks)}); a file given to --task holds one")
    ((name, task),) = tasks.items()
    return NamedTask(name, task)


@cache
def built_in_tasks() -> Mapping[str, Task]:
    """The tasks of `tasks.yaml`, by name."""
    return load_tasks(TASKS)


def load_tasks(path: Path) -> Mapping[str, Task]:
    """Read and check a file of tasks, by name.

    Raises:
        TardiffError: naming the file and the entry that is wrong.
    """
    try:
        raw = read_yaml(path)
    except OSError as error:
        raise TardiffError(f"{path}: cannot be read ({error.strerror}); --task takes a task's name or a YAML file") from error
    if not isinstance(raw, dict) or not raw:
        raise TardiffError(f"{path}: expected a task's name and under it rule, classes, label and keep (see docs/reference/tasks.md)")
    tasks = {}
    for name, entry in raw.items():
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z]\w*", name):
            raise TardiffError(f"{path}: a task's name is made of letters, digits and _, not {name!r}")
        try:
            task = msgspec.convert(entry, Task)
        except (msgspec.ValidationError, RecursionError) as error:
            raise TardiffError(f"{path}: {name}: {error}") from error
        for where, problem in _problems(task):
            raise TardiffError(f"{path}: {name}.{where}: {problem}")
        tasks[name] = task
    return tasks


def duration(text: str) -> float:
    """Minutes of a text such as "30 min", "24 h" or "3 d".

    Raises:
        ValueError: it is none.
    """
    match = DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no duration (30 min, 24 h, 3 d)")
    return float(match[1]) * MINUTES[match[2]]


def truth(condition: Condition, stays: pd.DataFrame, lengths: Mapping[str, float]) -> NDArray[np.float64]:
    """Whether a condition holds for each stay: 1 true, 0 false, 0.5 unknown, [N].

    Args:
        condition: whose columns `stays` has; of a channel the one named by its `key`.
        stays: one row a stay, with origin_minute.
        lengths: minutes of `window` and `horizon`.
    """
    if condition.all is not None:
        return np.min([truth(part, stays, lengths) for part in condition.all], axis=0)
    if condition.any is not None:
        return np.max([truth(part, stays, lengths) for part in condition.any], axis=0)
    if condition.channel is not None:
        return stays[condition.key].to_numpy(np.float64)
    assert condition.column is not None  # _problems saw to it
    column = stays[condition.column]
    truths = []
    if condition.is_missing is not None:
        truths.append(np.where(_missing(column) == condition.is_missing, TRUE, FALSE))
    if isinstance(condition.equals, str):
        truths.append(np.where(_missing(column), UNKNOWN, np.where(column == condition.equals, TRUE, FALSE)))
    elif condition.equals is not None or condition.limits:
        value = _number(column, condition.since, stays)
        wanted = [(np.equal, condition.equals)] if condition.equals is not None else []
        for compare, limit in [*wanted, *((ORDER[name], limit) for name, limit in condition.limits.items())]:
            truths.append(np.where(np.isnan(value), UNKNOWN, compare(value, minutes_of(limit, lengths)).astype(float)))
    return np.min(truths, axis=0)


def minutes_of(limit: float | str, lengths: Mapping[str, float]) -> float:
    """A limit as a number."""
    if isinstance(limit, str):
        return lengths[limit] if limit in lengths else duration(limit)
    return limit


def _missing(column: "pd.Series[Any]") -> NDArray[np.bool_]:
    return (column.isna() | (column == "")).to_numpy(bool)


def _number(column: "pd.Series[Any]", since: str | None, stays: pd.DataFrame) -> NDArray[np.float64]:
    """A column as numbers; a time that never comes is infinitely late."""
    value = _times(column)
    if since is None:
        return value
    with np.errstate(invalid="ignore"):  # never since never: unknown
        return value - _times(stays["origin_minute" if since == "origin" else since])


def _times(column: "pd.Series[Any]") -> NDArray[np.float64]:
    if not pd.api.types.is_numeric_dtype(column):
        raise TardiffError(f"task: the column {column.name} holds texts; it can be compared by equals (a text) and is_missing only")
    value = column.to_numpy(np.float64, na_value=np.nan)
    return np.where(np.isnan(value), np.inf, value) if str(column.name).endswith("_minute") else value


def _problems(task: Task) -> Iterator[tuple[str, str]]:
    """What the types do not say: where it stands, and what is wrong."""
    if isinstance(task.label, Condition) and len(task.classes) != 2:
        yield "classes", f"a condition makes two classes, here are {len(task.classes)} names"
    if len(set(map(str, task.classes))) < len(task.classes):
        yield "classes", "two names are the same"
    if task.horizon is not None and not DURATION.fullmatch(task.horizon):
        yield "horizon", f"{task.horizon!r} is no duration (30 min, 24 h, 3 d)"
    parts = [(f"keep[{i}].when", rule.when) for i, rule in enumerate(task.keep)]
    if isinstance(task.label, Condition):
        parts.insert(0, ("label", task.label))
    for where, condition in parts:
        yield from _ill_formed(condition, where, task)
    for i, rule in enumerate(task.keep):
        for leaf in rule.when.leaves():
            if not rule.looks_ahead and _is_ahead(leaf):
                yield (
                    f"keep[{i}]",
                    f"says looks_ahead: false, but {leaf.column or leaf.channel} is known only after the prediction; say true",
                )


def _ill_formed(condition: Condition, where: str, task: Task) -> Iterator[tuple[str, str]]:
    kinds = [kind for kind in ("column", "channel", "all", "any") if getattr(condition, kind) is not None]
    if len(kinds) != 1:
        yield where, "a condition has exactly one of column, channel, all and any"
        return
    if kinds == ["channel"]:
        yield from _ill_ahead(condition, where, task)
        return
    if any(text is not None for text in (condition.for_, condition.from_, condition.to)):
        yield where, "for, from and to are those of a channel"
    compared = bool(condition.limits) or condition.equals is not None or condition.is_missing is not None
    if kinds != ["column"]:
        inside = condition.all if condition.all is not None else condition.any
        if compared or condition.since is not None or not inside:
            yield where, f"{kinds[0]} takes a list of conditions and nothing beside it"
        for i, part in enumerate(inside or ()):
            yield from _ill_formed(part, f"{where}.{kinds[0]}[{i}]", task)
        return
    if not compared:
        yield where, f"{condition.column} is compared with nothing; give at_least, above, at_most, below, equals or is_missing"
    for name, limit in condition.limits.items():
        if isinstance(limit, str) and limit not in ("window", "horizon") and not DURATION.fullmatch(limit):
            yield f"{where}.{name}", f"{limit!r} is neither a number nor a duration (30 min, 24 h, 3 d), window or horizon"
        if limit == "horizon" and task.horizon is None:
            yield f"{where}.{name}", "the task names no horizon"
    if isinstance(condition.equals, str) and condition.since is not None:
        yield where, "a text cannot be compared since something"


def _ill_ahead(condition: Condition, where: str, task: Task) -> Iterator[tuple[str, str]]:
    if condition.since is not None or condition.equals is not None or condition.is_missing is not None:
        yield where, f"the channel {condition.channel} takes at_least, above, at_most, below, for, from and to"
    if not condition.limits:
        yield where, f"{condition.channel} is compared with nothing; give at_least, above, at_most or below"
    for name, limit in condition.limits.items():
        if isinstance(limit, str) or not np.isfinite(limit):
            yield f"{where}.{name}", f"a channel is compared with a number, not with {limit!r}"
    if condition.to is None:
        yield where, f"says not how far it looks; give to, as in to: {task.horizon or '6 h'}"
        return
    words = {"from": ("origin",), "to": ("horizon",) if task.horizon is not None else (), "for": ()}
    for (name, known), text in zip(words.items(), condition.span, strict=False):
        if text not in known and not DURATION.fullmatch(text):
            also = {"from": ", nor origin", "to": ", nor the horizon of the task" if text == "horizon" else ""}.get(name, "")
            yield f"{where}.{name}", f"{text!r} is no duration (30 min, 24 h, 3 d){also}"
            return
    begin, end, least = (minutes_of(text, {"origin": 0.0, "horizon": task.horizon_minutes}) for text in condition.span)
    if begin + least >= end:
        yield where, "has no time to come true: from and for leave nothing before to"


def _is_ahead(leaf: Condition) -> bool:
    """Whether a comparison needs what the prediction cannot know. That an event has not come yet is known."""
    if leaf.channel is not None:
        return True
    columns = {leaf.column, leaf.since} - {None, "origin", "origin_minute"}
    if not any(name in AHEAD or str(name).endswith("_minute") for name in columns):
        return False
    only_now = leaf.since == "origin" and set(leaf.limits.values()) == {0.0} and leaf.equals is None and leaf.is_missing is None
    return not only_now
