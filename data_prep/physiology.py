"""Stays of patients who do not exist: who they are, how sick they are hour by hour, and what their vital signs do.

A latent severity drives everything: an Ornstein-Uhlenbeck process for each stay that starts higher and rises for those who
die. It raises heart and breathing rates, lowers pressure and saturation, and moves temperature either way.
"""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

LONGEST_HOURS = 96
SLOTS = 2 * LONGEST_HOURS
"""Half hours in which something can be charted."""
DEATH_RATE = 0.145
"""Of a patient's last stay, at 64 years; earlier stays were survived. About 14 % of all stays end in death."""
RETURNING = 0.1
"""Stays that belong to the patient of the stay before."""
DEATH_LEVEL = 0.9
DEATH_RISE = 1.4
"""How much higher the severity of those who die starts, and how much it rises in two days."""
OU_HOURS = 8.0
OU_SPREAD = 0.6
"""Memory and spread of the severity around a stay's own course."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Stays:
    """A chunk of stays and their latent course."""

    number: NDArray[np.int64]
    """[n] running number from 0."""
    patient: NDArray[np.int64]
    """[n] number of the patient's first stay."""
    intime: NDArray[Any]
    """[n] datetime64[s]."""
    hours: Floats
    age: Floats
    """[n] years at the patient's first stay."""
    died: NDArray[np.bool_]
    severity: Floats
    """[n, SLOTS]; about 0 on average, with a spread of about 1."""

    def every(self, period: int, phase: int) -> NDArray[np.bool_]:
        """Marks one stay in `period`, so that even a small simulation holds every oddity."""
        return cast("NDArray[np.bool_]", self.number % period == phase)

    def column(self, name: str) -> NDArray[Any]:
        """An id or a time of each stay, under the publisher's name."""
        seconds = (self.hours * 3600).astype(np.int64)
        columns: dict[str, NDArray[Any]] = {
            "subject_id": 10_000_000 + self.patient,
            "hadm_id": 20_000_000 + self.number,
            "stay_id": 30_000_000 + self.number,
            "intime": self.intime,
            "outtime": self.intime + seconds,
            "admittime": whole_minutes(self.intime) - 4 * 3600,
            "dischtime": whole_minutes(self.intime + seconds) + np.where(self.died, 0, 3 * 86_400),
        }
        return columns[name]


def draw_stays(rng: np.random.Generator, first: int, n: int) -> Stays:
    """Patients, when they came and what became of them."""
    number = np.arange(first, first + n)
    returns = rng.random(n) < RETURNING
    returns[0] = False
    patient = np.maximum.accumulate(np.where(returns, first, number))
    last = np.append(patient[1:] != patient[:-1], True)
    age = np.clip(np.round(rng.normal(64, 15, n)), 18, 91)[patient - first]
    died = (rng.random(n) < DEATH_RATE * np.exp(0.02 * (age - 64))) & last
    day = rng.integers(0, 80 * 365, n)[patient - first] + 60 * (number - patient)
    intime = np.datetime64("2110-01-01", "s") + day * 86_400 + rng.integers(0, 86_400, n)
    return Stays(number, patient, intime, rng.uniform(24, LONGEST_HOURS, n), age, died, _severity(rng, died))


def _severity(rng: np.random.Generator, died: NDArray[np.bool_]) -> Floats:
    """[n, SLOTS] Ornstein-Uhlenbeck around a level of the stay's own, which rises over two days for those who die."""
    hours = np.arange(SLOTS) / 2
    level = rng.normal(0, 0.8, len(died)) + DEATH_LEVEL * died
    course: Floats = level[:, None] + DEATH_RISE * died[:, None] * np.minimum(hours / 48, 1)
    decay = np.exp(-0.5 / OU_HOURS)
    noise = rng.normal(0, OU_SPREAD * np.sqrt(1 - decay**2), course.shape)
    state = rng.normal(0, OU_SPREAD, len(died))
    for slot in range(SLOTS):
        state = decay * state + noise[:, slot]
        course[:, slot] += state
    return course


def vital_signs(rng: np.random.Generator, stays: Stays) -> dict[str, Floats]:
    """Each vital sign [n, SLOTS]: the patient's baseline, the severity, the time of day and noise. Diastolic < mean < systolic."""
    severity = stays.severity
    n = len(severity)

    def baseline(mean: float, spread: float) -> Floats:
        return rng.normal(mean, spread, (n, 1))

    def noise(spread: float) -> Floats:
        return rng.normal(0, spread, severity.shape)

    started = (stays.intime - stays.intime.astype("datetime64[D]")).astype(np.int64) / 3600
    day = np.sin(2 * np.pi * (started[:, None] + np.arange(SLOTS) / 2 - 9) / 24)
    mean = np.clip(baseline(80, 8) - 4.5 * severity + 2 * day + noise(4), 25, 160)
    pulse = np.clip(baseline(55, 9) - 2 * severity + noise(4), 12, 120)
    direction = rng.choice([-0.5, 0.35, 0.5], (n, 1))
    shock = np.maximum(severity, -1)
    return {
        "hr": np.clip(baseline(84, 11) + 6 * severity + 3 * day + noise(4), 25, 210).round(),
        "map": mean.round(),
        "sbp": (mean + pulse * 0.66).round(),
        "dbp": (mean - pulse * 0.34).round(),
        "resp": np.clip(baseline(18.5, 2.5) + 1.7 * severity + noise(2), 4, 60).round(),
        "spo2": np.clip(baseline(97.5, 1) - 1.0 * shock + noise(0.9), 60, 100).round(),
        "temp": np.clip(baseline(36.9, 0.25) + direction * shock + 0.15 * day + noise(0.15), 31, 42).round(1),
    }


def whole_minutes(times: NDArray[Any]) -> NDArray[Any]:
    """Times cut to the minute, as datetime64[s]."""
    return times.astype("datetime64[m]").astype("datetime64[s]")


def sigmoid(odds: Floats) -> Floats:
    """Probability from log odds."""
    probability: Floats = 1 / (1 + np.exp(-odds))
    return probability
