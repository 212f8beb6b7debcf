"""Rows of chartevents and outputevents, gathered item by item."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_prep.simulate.items import OTHERS, Item
from data_prep.simulate.patients import LONGEST_HOURS, Flags, Floats, Integers, Stays, whole_minutes
from data_prep.simulate.physiology import Course


class Rows:
    """Charted values of one table, gathered item by item."""

    def __init__(self, items: Sequence[Item], course: Course, minute: Integers) -> None:
        """`minute` [m] is when something is charted in each half hour, since the start of the stay."""
        self._items, self._course, self._minute = items, course, minute
        self._position = {item.id: position for position, item in enumerate(items)}
        self._parts: list[tuple[Integers, Integers, Integers, Floats]] = []

    def chart(self, where: Flags, item: int, values: Floats) -> None:
        """Add the entries of one item: the flags [m] say where, `values` [m] what."""
        at = np.flatnonzero(where)
        self._parts.append((self._course.stay[at], self._minute[at], np.full(len(at), self._position[item]), values[at]))

    def add_others(self, rng: np.random.Generator, share: int) -> None:
        """Add `share` entries of `OTHERS` for every one there is, charted at the same times."""
        stay, minute, _, _ = self._gathered()
        others = np.array([self._position[item.id] for item in OTHERS])
        words = np.array([len(item.words) for item in OTHERS])
        around = np.array([item.around for item in OTHERS])
        which = rng.integers(0, len(OTHERS), share * len(stay))
        drawn = rng.random(len(which))
        values = np.where(words[which] > 0, 1 + np.floor(drawn * words[which]), np.round(around[which] * (0.8 + 0.4 * drawn)))
        self._parts.append((np.repeat(stay, share), np.repeat(minute, share), others[which], values))

    def columns(self, stays: Stays) -> dict[str, Any]:
        """Columns of the table in the publisher's order: by stay, then time, then item."""
        stay, minute, position, value = self._gathered()
        order = np.argsort((stay * 60 * LONGEST_HOURS + minute) * len(self._items) + position, kind="stable")
        stay, minute, position, value = stay[order], minute[order], position[order], value[order]
        at = whole_minutes(stays.intime)[stay] + 60 * (minute + 1)
        ids = {name: stays.column(name)[stay] for name in ("subject_id", "hadm_id", "stay_id")}
        shift = 2 * stays.number[stay] + minute // 720
        return ids | {
            "caregiver_id": 10_000 + shift * 7919 % 89_999,
            "charttime": at,
            "storetime": at + 60 * (1 + minute * 31 % 19),
            "itemid": np.array([item.id for item in self._items])[position],
            "value": self._texts(position, value),
            "valuenum": self._numbers(position, value),
            "valueuom": pa.array([item.unit for item in self._items]).take(pa.array(position)),
            "warning": np.zeros(len(stay), np.int64),
        }

    def _gathered(self) -> tuple[Integers, Integers, Integers, Floats]:
        stay, minute, position, value = (np.concatenate(parts) for parts in zip(*self._parts, strict=True))
        return stay, minute, position, value

    def _texts(self, position: Integers, value: Floats) -> pa.Array:
        """As charted: numbers as they are, scores and findings in words."""
        words = pa.array([word for item in self._items for word in item.words])
        counts = np.array([len(item.words) for item in self._items])
        first = np.cumsum(counts) - counts - np.array([item.lowest for item in self._items])
        index = np.where(counts[position] > 0, first[position] + value.astype(np.int64), 0)
        numbers = pa.array(value).cast(pa.string())
        return numbers if not len(words) else pc.if_else(pa.array(counts[position] > 0), words.take(pa.array(index)), numbers)

    def _numbers(self, position: Integers, value: Floats) -> pa.Array:
        """Numbers and scores; a finding has no number."""
        finding = np.array([bool(item.words) and not item.scored for item in self._items])
        score = np.array([item.scored for item in self._items])
        return pa.array(np.where(score[position], np.maximum(value, 1), value), mask=finding[position])
