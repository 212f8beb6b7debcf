"""What nurses chart: chartevents and outputevents. The sicker a patient, the more often, and the more likely through a line."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_prep.simulate.items import CHARTED, OTHERS, OUTPUTS, Item
from data_prep.simulate.patients import LONGEST_HOURS, Flags, Floats, Integers, Stays, whole_minutes
from data_prep.simulate.physiology import Course, chance, vital_signs

NEVER_CHARTED = (40, 7)
"""Period and phase of the stays without a chart."""
DAY = 48
"""Half hours."""
Chart = Callable[[Flags, int, Floats], None]
"""Chart an item with these values [m], where the flags [m] say so."""


class Rows:
    """Charted values of one table, gathered item by item."""

    def __init__(self, items: Sequence[Item], course: Course, minute: Integers) -> None:
        """`minute` [m] is when something is charted in each half hour, since the start of the stay."""
        self._items, self._course, self._minute = items, course, minute
        self._position = {item.id: position for position, item in enumerate(items)}
        self._parts: list[tuple[Integers, Integers, Integers, Floats]] = []

    def chart(self, where: Flags, item: int, values: Floats) -> None:
        """Add the entries of one item; see `Chart`."""
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


def chartevents(rng: np.random.Generator, stays: Stays, course: Course, ballast: int) -> dict[str, Any]:
    """Vital signs, scores, oxygen, glucose, weight and height, and `ballast` rows of other items for each of these."""
    minute, inside = _minutes(rng, stays, course)
    vitals = vital_signs(rng, stays, course)
    stay, slot = course.stay, course.slot
    # On the hour nearly always, on the half hour the more often the sicker.
    charted = inside & chance(rng, np.where(slot % 2 == 0, 3.0, -2.2) + course.severity)
    arterial, ventilated = course.arterial[stay], course.ventilated[stay]
    fahrenheit = (rng.random(len(stays)) < 0.8)[stay]
    cuff = charted & (~arterial | (rng.random(len(slot)) < 0.15))
    second_line = stays.every(8, 5)[stay]
    four_hourly = charted & (slot % 8 == 0)
    rows = Rows((*CHARTED, *OTHERS), course, minute)
    chart = rows.chart

    def artefact(name: str, period: int, phase: int, wrong: float) -> Floats:
        """A vital sign, where the fourth hour of some stays holds an impossible value."""
        return np.where(stays.every(period, phase)[stay] & (slot == 8), wrong, vitals[name])

    chart(charted, 220045, artefact("hr", 10, 1, 0))
    for name, line, other_line, by_cuff in (("sbp", 220050, 225309, 220179), ("dbp", 220051, 225310, 220180)):
        chart(charted & arterial & ~second_line, line, vitals[name])
        chart(charted & arterial & second_line, other_line, vitals[name])
        chart(cuff, by_cuff, vitals[name])
    chart(charted & arterial & ~second_line, 220052, artefact("map", 10, 2, -23))
    chart(charted & arterial & second_line, 225312, vitals["map"])
    chart(cuff, 220181, artefact("map", 10, 4, 801))
    chart(charted & ~ventilated, 220210, artefact("resp", 20, 3, 7_000_400))
    chart(charted & ventilated, 224690, vitals["resp"])
    chart(four_hourly & ventilated, 224688, np.full(len(slot), 14.0))
    chart(charted, 220277, vitals["spo2"])
    chart(four_hourly & arterial, 220227, np.clip(vitals["spo2"] - 1, 50, 100))
    in_fahrenheit = (vitals["temp"] * 1.8 + 32).round(1)
    chart(four_hourly & fahrenheit, 223761, in_fahrenheit)
    chart(four_hourly & ~fahrenheit, 223762, np.where(rng.random(len(slot)) < 0.05, in_fahrenheit, vitals["temp"]))
    _chart_scores(rng, chart, course, four_hourly)
    slow = np.where(rng.random(len(slot)) < 0.05 + 0.2 * (course.severity > 1.5), 2.0, 1.0)
    chart(four_hourly & (slot % 16 == 0), 223951, slow)
    chart(four_hourly & (slot % 16 == 8), 224308, slow)
    _chart_oxygen(rng, chart, stays, course, four_hourly)
    _chart_glucose(rng, chart, stays, course, charted)
    _chart_size(rng, chart, stays, course, charted)
    if ballast:
        rows.add_others(rng, ballast)
    return rows.columns(stays)


def _chart_scores(rng: np.random.Generator, chart: Chart, course: Course, where: Flags) -> None:
    """The components of the Glasgow Coma Score; who has a tube cannot speak."""
    level = np.maximum(course.severity + rng.normal(0, 0.4, len(course.severity)), 0)
    for item, best, per_level in ((220739, 4, 0.8), (223901, 6, 0.9), (223900, 5, 1.0)):
        score = np.clip(best - per_level * level, 1, best).round()
        chart(where, item, np.where(course.ventilated[course.stay], 0.0, score) if item == 223900 else score)


def _chart_oxygen(rng: np.random.Generator, chart: Chart, stays: Stays, course: Course, where: Flags) -> None:
    """FiO2 as a fraction, as a percentage or, of those who breathe by themselves, as litres a minute."""
    percent = np.clip(40 + 10 * course.severity, 21, 100).round()
    style = rng.integers(0, 3, len(stays))[course.stay]
    ventilated = course.ventilated[course.stay]
    written = np.select([(style == 0), (style == 1) | ventilated], [percent / 100, percent], 6.0)
    chart(where & (ventilated | (style == 2)), 223835, written)


def _chart_glucose(rng: np.random.Generator, chart: Chart, stays: Stays, course: Course, charted: Flags) -> None:
    """Of the finger, four-hourly in a third of the stays; of the laboratory, once a day."""
    m, stay = len(course.slot), course.stay
    own = rng.normal(0, 0.25, len(stays))[stay]
    glucose = np.clip(130 * np.exp(own + 0.08 * course.late + rng.normal(0, 0.15, m)), 40, 900).round()
    chart(charted & (course.slot % 8 == 2) & (rng.random(len(stays)) < 0.35)[stay], 225664, glucose)
    chart(charted & (course.slot % DAY == 20), 220621, glucose)
    chart(charted & (course.slot % 12 == 4) & course.arterial[stay], 226537, glucose)


def _chart_size(rng: np.random.Generator, chart: Chart, stays: Stays, course: Course, charted: Flags) -> None:
    """Weight on admission in kg or pounds, then daily; height in cm or inches; each of them is missing in some stays."""
    stay, n = course.stay, len(stays)
    first = charted & (np.cumsum(charted) - np.append(0, np.cumsum(charted))[course.start[stay]] == 1)
    height = rng.normal(169, 10, n).round()[stay]
    chart(first & (stays.every(4, 0) | stays.every(4, 2))[stay], 226730, height)
    chart(first & (stays.every(4, 1) | stays.every(4, 2))[stay], 226707, (height / 2.54).round())
    admitted = np.clip(rng.normal(81, 18, n), 40, 200).round(1)
    chart(first & ~stays.every(8, 6)[stay], 226512, admitted[stay])
    chart(first & stays.every(4, 2)[stay], 226531, (admitted / 0.453592).round(1)[stay])
    daily = (admitted[stay] + rng.normal(0, 0.5, len(stay)) + 0.02 * np.minimum(course.slot, 96)).round(1)
    chart(charted & (course.slot % DAY == 12) & (rng.random(n) < 0.6)[stay], 224639, daily)


def outputevents(rng: np.random.Generator, stays: Stays, course: Course) -> dict[str, Any]:
    """Urine, which fails with the kidneys; irrigant in and out; and the residual of tube feeding, which is no urine."""
    minute, inside = _minutes(rng, stays, course)
    stay, slot = course.stay, course.slot
    failed = course.kidneys(stay, slot / 2)
    volume = np.exp(rng.normal(4.4, 0.5, len(slot)) - 0.2 * course.severity - 1.5 * failed).round()
    at, eight = inside & (slot % 2 == 0), inside & (slot % 8 == 0)
    sites = np.array([226559, 226560, 226561, 226567, 226584, 226563, 226564, 226565, 226557, 226558])
    site = rng.choice(sites, len(stays), p=[0.7, 0.12, 0.07, 0.03, *[0.08 / 6] * 6])[stay]
    irrigated = stays.every(30, 5)[stay]
    rows = Rows(OUTPUTS, course, minute)
    rows.chart(at & (site == 226559), 226559, volume)
    for item in sites[1:]:
        rows.chart(eight & (site == item), item, 4 * volume)
    rows.chart(eight & irrigated, 227488, volume + 100)
    rows.chart(eight & irrigated, 227489, 2 * volume + 100)
    rows.chart(eight & course.ventilated[stay], 227510, np.full(len(slot), 60.0))
    return rows.columns(stays)


def _minutes(rng: np.random.Generator, stays: Stays, course: Course) -> tuple[Integers, Flags]:
    """When something is charted in each half hour, and whether that is still in the stay and in a stay with a chart."""
    minute = 30 * course.slot + rng.integers(1, 30, len(course.slot))
    return minute, (minute < 60 * stays.hours[course.stay] - 1) & ~stays.every(*NEVER_CHARTED)[course.stay]
