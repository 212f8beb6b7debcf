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
PACES = np.array([60.0, 70.0, 80.0, 90.0])
"""Beats a minute that pacemakers are set to."""


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


def draw_vitals(rng: np.random.Generator, stays: Stays, course: Course) -> Vitals:
    """Vital signs of patients on their course."""
    stay, severity, n = course.stay, course.severity, len(stays)
    restless = np.exp(rng.normal(0, RESTLESS, n))[stay]
    older, heavier = stays.age - AGE, stays.weight - WEIGHT

    def level(mean: float, spread: float) -> Floats:
        return rng.normal(mean, spread, n)

    def unrest(slow: float, hours: float, fast: float) -> Floats:
        return slow * course.wander(rng, hours) + rng.normal(0, fast, len(stay))

    started = (stays.intime - stays.intime.astype("datetime64[D]")).astype(np.int64) / 3600
    day = np.sin(2 * np.pi * (started[stay] + course.slot / 2 - 9) / 24)
    shock = np.maximum(severity, -1)

    cold = (of_unit(stays.unit, "cold") * rng.uniform(0.2, 1.3, n))[stay] * np.exp(-course.slot / 2 / WARMING_HOURS)
    direction = rng.choice([-0.5, 0.35, 0.5], n)[stay]
    temp = level(36.95, 0.35)[stay] + direction * shock + 0.15 * day + 0.45 * course.wander(rng, 10) - cold
    fever = np.maximum(temp - FEVER, 0)

    own = level(83, 13) + HEART_BY_AGE * older
    beat = restless * unrest(4.8, 4, 3.2)
    heart = np.clip(own[stay] + 6.5 * severity + 2 * day + HEART_BY_FEVER * fever + beat, 25, 210)
    paced = rng.random(n) < of_unit(stays.unit, "paced")
    pace = rng.choice(PACES, n, p=(0.15, 0.2, 0.5, 0.15))
    hr = np.where(paced[stay], np.maximum(heart - 10, pace[stay]), heart)

    wave = restless * unrest(5.5, 3, 5)
    own = level(80, 10) + (SYSTOLIC_BY_AGE + 2 * DIASTOLIC_BY_AGE) / 3 * older + PRESSURE_BY_WEIGHT * heavier
    mean = np.clip(own[stay] - 5.2 * severity + 2 * day + wave, 25, 160)
    own = level(57, 14) + (SYSTOLIC_BY_AGE - DIASTOLIC_BY_AGE) * older
    pulse = np.clip(own[stay] - 2 * severity + 0.4 * wave + restless * unrest(5, 3, 6), 12, 1.5 * mean)
    shape = np.clip(rng.normal(1 / 3, 0.035, n)[stay] + rng.normal(0, 0.04, len(stay)), 0.2, 0.5)
    dbp = mean - pulse / 3
    breath = level(18, 3)[stay] + 1.8 * severity + BREATH_BY_FEVER * fever + 0.1 * beat + restless * unrest(1.8, 4, 2.6)
    return Vitals(
        hr=hr,
        sbp=dbp + pulse,
        dbp=dbp,
        map=dbp + shape * pulse,
        resp=np.clip(breath, 4, 60),
        spo2=np.clip(level(97.5, 1.5)[stay] - 1.0 * shock + unrest(1.0, 6, 1.2), 60, 100),
        temp=np.clip(temp + rng.normal(0, 0.08, len(stay)), 31, 42),
    )
