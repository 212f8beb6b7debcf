"""The vital signs themselves, before anybody reads them from a device.

Each is the patient's own level, which depends on age and weight, moved by the severity and the time of day, with a slow wander and
a fast one. They move together: fever drives heart and breath, one pressure wave makes all three pressures, and a pacemaker keeps
the heart from beating more slowly than it is set to.
"""

from dataclasses import dataclass

import numpy as np

from data_prep.simulate.patients import Floats, Stays
from data_prep.simulate.physiology import Course
from data_prep.simulate.units import of_unit

AGE, WEIGHT = 64.0, 81.0
"""Years and kg to which the mean levels belong."""
HEART_BY_AGE = -0.27
"""Beats a minute for every year."""
SYSTOLIC_BY_AGE, DIASTOLIC_BY_AGE = 0.25, -0.12
"""mmHg for every year: arteries stiffen."""
PRESSURE_BY_WEIGHT = 0.12
"""mmHg for every kg, of all three pressures."""
FEVER, HEART_BY_FEVER, BREATH_BY_FEVER = 37.0, 7.0, 2.0
"""Degrees from which fever counts; beats and breaths a minute for every degree above."""
RESTLESS = 0.3
"""Spread of the logarithm of how much a patient's signs move from hour to hour."""
WARMING_HOURS = 5.0
"""In which those who come cold from the operating room are two thirds warm again."""
PACES, PACE_SHARES = np.array([60.0, 70.0, 80.0, 90.0]), np.array([0.15, 0.2, 0.5, 0.15])
"""Beats a minute that pacemakers are set to."""
SLOWER = 10.0
"""Beats a minute by which hearts under a pacemaker would be slower than others."""


@dataclass(frozen=True)
class Vitals:
    """Vital signs [m] to any precision; diastolic < mean < systolic."""

    hr: Floats
    sbp: Floats
    dbp: Floats
    map: Floats
    """Near (sbp + 2 dbp) / 3; nearer to one or the other by the shape of the patient's wave."""
    resp: Floats
    spo2: Floats
    temp: Floats
    """In degrees Celsius."""


class _Patients:
    """What their vital signs have in common: who they are, how sick, how restless, and the time of day."""

    def __init__(self, rng: np.random.Generator, stays: Stays, course: Course) -> None:
        self.rng, self.stays, self.course = rng, stays, course
        self.older, self.heavier = stays.age - AGE, stays.weight - WEIGHT
        self.severity, self.shock = course.severity, np.maximum(course.severity, -1)
        self.restless: Floats = np.exp(rng.normal(0, RESTLESS, len(stays)))[course.stay]
        self.hour = course.slot / 2
        started = (stays.intime - stays.intime.astype("datetime64[D]")).astype(np.int64) / 3600
        self.day: Floats = np.sin(2 * np.pi * (started[course.stay] + self.hour - 9) / 24)

    def each(self, own: Floats) -> Floats:
        """A patient's own number [n] in every half hour [m]."""
        return own[self.course.stay]

    def level(self, mean: float, spread: float) -> Floats:
        """A level of each patient's own [n]."""
        return self.rng.normal(mean, spread, len(self.stays))

    def unrest(self, slow: float, hours: float, fast: float) -> Floats:
        """A wander of this spread and memory, and what is another one in the next half hour [m]."""
        return slow * self.course.wander(self.rng, hours) + self.rng.normal(0, fast, len(self.severity))


def draw_vitals(rng: np.random.Generator, stays: Stays, course: Course) -> Vitals:
    """Vital signs of patients on their course."""
    patients = _Patients(rng, stays, course)
    core = _core_temperature(patients)
    fever = np.maximum(core - FEVER, 0)
    beat = patients.restless * patients.unrest(4.8, 4, 3.2)
    hr = _heart(patients, HEART_BY_FEVER * fever + beat)
    sbp, dbp, mean = _pressures(patients)
    breath = patients.each(patients.level(18, 3)) + 2 * patients.severity + BREATH_BY_FEVER * fever + 0.1 * beat
    saturation = patients.each(patients.level(97.5, 1.5)) - 1.2 * patients.shock
    return Vitals(
        hr=hr,
        sbp=sbp,
        dbp=dbp,
        map=mean,
        resp=np.clip(breath + patients.restless * patients.unrest(1.8, 4, 2.6), 4, 60),
        spo2=np.clip(saturation + patients.unrest(1.0, 6, 1.2), 60, 100),
        temp=np.clip(core + rng.normal(0, 0.08, len(core)), 31, 42),
    )


def _core_temperature(patients: _Patients) -> Floats:
    """Sickness moves it up or down, in each patient its own way; those who come cold warm up."""
    rng, n = patients.rng, len(patients.stays)
    cold = of_unit(patients.stays.unit, "cold") * rng.uniform(0.2, 1.3, n)
    direction = rng.choice([-0.5, 0.35, 0.5], n)
    moved = patients.each(direction) * patients.shock + 0.15 * patients.day + 0.45 * patients.course.wander(rng, 10)
    return patients.each(patients.level(36.95, 0.35)) + moved - patients.each(cold) * np.exp(-patients.hour / WARMING_HOURS)


def _heart(patients: _Patients, moved: Floats) -> Floats:
    """The heart's own rate, or the pacemaker's where that is higher."""
    rng, n = patients.rng, len(patients.stays)
    own = patients.each(patients.level(83, 13) + HEART_BY_AGE * patients.older)
    rate = np.clip(own + 7 * patients.severity + 2 * patients.day + moved, 25, 210)
    paced = rng.random(n) < of_unit(patients.stays.unit, "paced")
    pace = rng.choice(PACES, n, p=PACE_SHARES)
    return np.where(paced[patients.course.stay], np.maximum(rate - SLOWER, patients.each(pace)), rate)


def _pressures(patients: _Patients) -> tuple[Floats, Floats, Floats]:
    """Systolic, diastolic and mean: a wave of its own mean, height and shape in each patient."""
    wave = patients.restless * patients.unrest(5.5, 3, 5)
    stiffer = (SYSTOLIC_BY_AGE + 2 * DIASTOLIC_BY_AGE) / 3 * patients.older
    own = patients.level(80, 10) + stiffer + PRESSURE_BY_WEIGHT * patients.heavier
    mean = np.clip(patients.each(own) - 6 * patients.severity + 2 * patients.day + wave, 25, 160)
    own = patients.level(57, 14) + (SYSTOLIC_BY_AGE - DIASTOLIC_BY_AGE) * patients.older
    height = patients.each(own) - 2 * patients.severity + 0.4 * wave + patients.restless * patients.unrest(5, 3, 6)
    height = np.clip(height, 12, 1.5 * mean)
    shape = patients.each(patients.level(1 / 3, 0.035)) + patients.rng.normal(0, 0.04, len(wave))
    dbp = mean - height / 3
    return dbp + height, dbp, dbp + np.clip(shape, 0.2, 0.5) * height
