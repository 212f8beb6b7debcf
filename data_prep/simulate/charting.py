"""What nurses chart in their rounds: chartevents. A patient with an arterial line has its pressures in every round."""

from collections.abc import Callable
from typing import Any

import numpy as np

from data_prep.simulate.devices import draw_devices, read
from data_prep.simulate.items import CHARTED, OTHERS
from data_prep.simulate.patients import Flags, Floats, Stays
from data_prep.simulate.physiology import Course
from data_prep.simulate.rounds import Rounds
from data_prep.simulate.rows import Rows
from data_prep.simulate.units import of_unit
from data_prep.simulate.vitals import draw_vitals

SKIPPED = 0.02
"""Share of the rounds that leave out the pressures, and of those that leave out respiration or saturation."""
CUFF_BESIDE_LINE = 0.15
"""Share of the rounds in which the cuff is read although there is a line."""
DAILY = 4
"""The hour of the morning at which patients are weighed and their blood goes to the laboratory."""
Chart = Callable[[Flags, int, Floats], None]
"""Chart an item with these values [m], where the flags [m] say so."""


def chartevents(rng: np.random.Generator, stays: Stays, course: Course, rounds: Rounds, ballast: int) -> dict[str, Any]:
    """Vital signs, scores, oxygen, glucose, weight and height, and `ballast` rows of other items for each of these."""
    rows = Rows((*CHARTED, *OTHERS), course, rounds.minute)
    _chart_vitals(rng, rows.chart, stays, course, rounds)
    _chart_scores(rng, rows.chart, course, rounds)
    _chart_oxygen(rng, rows.chart, stays, course, rounds)
    _chart_glucose(rng, rows.chart, stays, course, rounds)
    _chart_size(rng, rows.chart, stays, course, rounds)
    if ballast:
        rows.add_others(rng, ballast)
    return rows.columns(stays)


def _chart_vitals(rng: np.random.Generator, chart: Chart, stays: Stays, course: Course, rounds: Rounds) -> None:
    """Heart, pressures, breath and saturation in every round, temperature four-hourly or with a probe in every round."""
    stay, charted = course.stay, rounds.charted
    devices = draw_devices(rng, stays)
    shown = read(draw_vitals(rng, stays, course), devices, course)
    line, ventilated = course.arterial[stay], course.ventilated[stay]
    second_line = stays.every(8, 5)[stay]

    def artefact(values: Floats, period: int, phase: int, wrong: float) -> Floats:
        """The readings, where the fourth hour of some stays holds an impossible value."""
        return np.where(stays.every(period, phase)[stay] & (course.slot // 2 == 4), wrong, values)

    chart(charted, 220045, artefact(shown.hr, 10, 1, 0))

    def measured() -> Flags:
        """The rounds, without those that leave something out."""
        return charted & (rng.random(len(stay)) >= SKIPPED)

    pressures, breaths = measured(), measured() & devices.respiration[stay]
    by_line, by_second_line = pressures & line & ~second_line, pressures & line & second_line
    by_cuff = pressures & (~line | (rng.random(len(stay)) < CUFF_BESIDE_LINE))
    for values, first, second, cuff in ((shown.sbp, 220050, 225309, 220179), (shown.dbp, 220051, 225310, 220180)):
        chart(by_line, first, values)
        chart(by_second_line, second, values)
        chart(by_cuff, cuff, values)
    chart(by_line, 220052, artefact(shown.map_by_line, 10, 2, -23))
    chart(by_second_line, 225312, shown.map_by_line)
    chart(by_cuff, 220181, artefact(shown.map_by_cuff, 10, 4, 801))
    chart(breaths & ~ventilated, 220210, artefact(shown.resp, 20, 3, 7_000_400))
    chart(breaths & ventilated, 224690, shown.resp)
    chart(rounds.every(4) & ventilated, 224688, devices.set_rate[stay])
    chart(measured(), 220277, shown.spo2)
    chart(rounds.every(4) & line, 220227, np.clip(shown.spo2 - 1, 50, 100))
    celsius, taken = devices.celsius[stay], rounds.every(4) | (charted & devices.probe[stay])
    chart(taken & ~celsius, 223761, shown.fahrenheit)
    chart(taken & celsius, 223762, np.where(rng.random(len(stay)) < 0.05, shown.fahrenheit, shown.celsius))


def _chart_scores(rng: np.random.Generator, chart: Chart, course: Course, rounds: Rounds) -> None:
    """The components of the Glasgow Coma Score; who has a tube cannot speak. The refill of right and left hands in turn."""
    m, severity = len(course.stay), course.severity
    level = np.maximum(severity + rng.normal(0, 0.4, m), 0)
    for item, best, per_level in ((220739, 4, 0.8), (223901, 6, 0.9), (223900, 5, 1.0)):
        score = np.clip(best - per_level * level, 1, best).round()
        chart(rounds.every(4), item, np.where(course.ventilated[course.stay], 0.0, score) if item == 223900 else score)
    slow = np.where(rng.random(m) < 0.05 + 0.2 * (severity > 1.5), 2.0, 1.0)
    chart(rounds.every(8), 223951, slow)
    chart(rounds.every(8, 4), 224308, slow)


def _chart_oxygen(rng: np.random.Generator, chart: Chart, stays: Stays, course: Course, rounds: Rounds) -> None:
    """FiO2 as a fraction, as a percentage or, of those who breathe by themselves, as litres a minute."""
    percent = np.clip(5 * np.round(8 + 2 * course.severity), 21, 100)
    style = rng.integers(0, 3, len(stays))[course.stay]
    ventilated = course.ventilated[course.stay]
    written = np.select([(style == 0), (style == 1) | ventilated], [percent / 100, percent], 6.0)
    chart(rounds.every(4) & (ventilated | (style == 2)), 223835, written)


def _chart_glucose(rng: np.random.Generator, chart: Chart, stays: Stays, course: Course, rounds: Rounds) -> None:
    """Of the finger, four-hourly in a third of the stays; of the laboratory, once a day; of arterial blood, every six hours or so."""
    m, stay = len(course.slot), course.stay
    own = rng.normal(0, 0.25, len(stays))[stay]
    glucose = np.clip(130 * np.exp(own + 0.08 * course.late + rng.normal(0, 0.15, m)), 40, 900).round()
    chart(rounds.every(4) & (rng.random(len(stays)) < 0.35)[stay], 225664, glucose)
    chart(rounds.every(24, DAILY), 220621, glucose)
    chart(rounds.every(6) & course.arterial[stay], 226537, glucose)


def _chart_size(rng: np.random.Generator, chart: Chart, stays: Stays, course: Course, rounds: Rounds) -> None:
    """Weight on admission in kg or pounds, then daily; height in cm or inches; how often each is missing depends on the unit."""
    stay, n = course.stay, len(stays)
    measured, weighed = rng.random(n) >= of_unit(stays.unit, "no_height"), rng.random(n) >= of_unit(stays.unit, "no_weight")
    height = stays.height.round()[stay]
    chart(rounds.first & (measured & ~stays.every(3, 1))[stay], 226730, height)
    chart(rounds.first & (measured & ~stays.every(3, 0))[stay], 226707, (height / 2.54).round())
    admitted = stays.weight.round(1)
    chart(rounds.first & (weighed & ~stays.every(8, 6))[stay], 226512, admitted[stay])
    chart(rounds.first & (weighed & stays.every(4, 2))[stay], 226531, (admitted / 0.453592).round(1)[stay])
    gained = rng.normal(0, 0.5, len(stay)) + 0.02 * np.minimum(course.slot, 96)
    again = (weighed & (rng.random(n) < 0.6))[stay]
    chart(rounds.every(24, DAILY) & ~rounds.first & again, 224639, (admitted[stay] + gained).round(1))
