"""Patients who do not exist: when they came, how long they stayed and what became of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_prep.simulate.bodies import draw_bodies
from data_prep.simulate.units import UNITS, of_unit

LONGEST_HOURS = 336
SHORTEST_HOURS = 4
MEDIAN_HOURS = 50
"""Of a stay in the unit; a sixth are shorter than a day, a twentieth longer than a week."""
DEATH_RATE, DEATH_BY_AGE = 0.155, 0.03
"""Of a patient's last stay, at 64 years, and how its logarithm rises with every year; earlier stays were survived. About 14 % of all
stays end in death."""
RETURNING = 0.15
"""Stays that belong to the patient of the stay before, a third of them within the same admission to hospital."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Stays:
    """A chunk of stays; all stays of a patient are in one chunk, in order of time."""

    number: Integers
    """[n] running number from 0."""
    patient: Integers
    """[n] number of the patient's first stay."""
    admission: Integers
    """[n] number of the admission's first stay."""
    intime: NDArray[Any]
    """[n] datetime64[s]."""
    hours: Floats
    admittime: NDArray[Any]
    dischtime: NDArray[Any]
    unit: Integers
    """[n] position in `UNITS`; who returns comes to the same one."""
    male: Flags
    age: Floats
    """[n] years at the patient's first stay."""
    height: Floats
    """[n] in cm; and weight in kg."""
    weight: Floats
    died: Flags
    """[n] the admission ended in death."""

    def __len__(self) -> int:
        return len(self.number)

    def every(self, period: int, phase: int) -> Flags:
        """Marks one stay in `period`, so that even a small simulation holds every oddity."""
        return self.number % period == phase

    def column(self, name: str) -> NDArray[Any]:
        """An id or a time of each stay, under the publisher's name."""
        columns: dict[str, NDArray[Any]] = {
            "subject_id": 10_000_000 + self.patient,
            "hadm_id": 20_000_000 + self.admission,
            "stay_id": 30_000_000 + self.number,
            "intime": self.intime,
            "outtime": self.intime + (self.hours * 3600).astype(np.int64),
            "admittime": self.admittime,
            "dischtime": self.dischtime,
        }
        return columns[name]


def draw_stays(rng: np.random.Generator, first: int, n: int) -> Stays:
    """Draw `n` stays, numbered from `first`."""
    number = np.arange(first, first + n)
    returns = rng.random(n) < RETURNING
    returns[0] = False
    within = returns & (rng.random(n) < 1 / 3)
    patient = np.maximum.accumulate(np.where(returns, first, number))
    admission = np.maximum.accumulate(np.where(within, first, number))
    unit = rng.choice(len(UNITS), n, p=[unit.share for unit in UNITS])[patient - first]
    male, age, height, weight = (each[patient - first] for each in draw_bodies(rng, unit))
    died = (rng.random(n) < DEATH_RATE * of_unit(unit, "deaths") * np.exp(DEATH_BY_AGE * (age - 64))) & _last(patient)
    hours = np.clip(MEDIAN_HOURS * np.exp(rng.normal(0, 0.75, n)), SHORTEST_HOURS, LONGEST_HOURS)
    on_the_ward = np.where(died & (rng.random(n) < 0.8), 0, 3600 * rng.exponential(90, n)).astype(np.int64)
    away = np.where(within, 3600 * rng.uniform(6, 72, n), 86_400 * rng.exponential(45, n) + 86_400).astype(np.int64)
    seconds = (hours * 3600).astype(np.int64)
    # Each stay starts after the one before it: its hours, the ward (unless it is the same admission) and the time away.
    elapsed = np.cumsum(np.append(0, seconds[:-1] + np.where(within[1:], 0, on_the_ward[:-1]) + away[1:]))
    arrived = rng.integers(0, 80 * 365 * 86_400, n)
    start = arrived[patient - first] + elapsed - elapsed[patient - first]
    intime = np.datetime64("2110-01-01", "s") + start
    final = np.flatnonzero(_last(admission))[np.searchsorted(admission[_last(admission)], admission)]
    return Stays(
        number=number,
        patient=patient,
        admission=admission,
        intime=intime,
        hours=hours,
        admittime=whole_minutes(intime)[admission - first] - 4 * 3600,
        dischtime=whole_minutes(intime + seconds + on_the_ward)[final],
        unit=unit,
        male=male,
        age=age,
        height=height,
        weight=weight,
        died=died[final],
    )


def icustays(stays: Stays) -> dict[str, Any]:
    """One row a stay in the unit."""
    unit = np.array([unit.name for unit in UNITS])[stays.unit]
    ids_and_times = {name: stays.column(name) for name in ("subject_id", "hadm_id", "stay_id", "intime", "outtime")}
    return ids_and_times | {"first_careunit": unit, "last_careunit": unit, "los": stays.hours / 24}


def patients(stays: Stays) -> dict[str, Any]:
    """One row a patient, anchored in the year of the first stay. A date of death may fall on the day before the stay."""
    first, last = stays.patient == stays.number, _last(stays.patient)
    misdated = stays.every(25, 6)[last]
    died_on = stays.dischtime[last].astype("datetime64[D]")
    too_early = stays.intime[last].astype("datetime64[D]") - 1
    died = stays.died[last]
    return {
        "subject_id": stays.column("subject_id")[first],
        "gender": np.where(stays.male[first], "M", "F"),
        "anchor_age": stays.age[first].astype(np.int64),
        "anchor_year": stays.intime[first].astype("datetime64[Y]").astype(np.int64) + 1970,
        "anchor_year_group": ["2014 - 2016"] * int(first.sum()),
        "dod": np.where(died | misdated, np.where(misdated, too_early, died_on).astype(str), ""),
    }


def admissions(rng: np.random.Generator, stays: Stays) -> dict[str, Any]:
    """One row an admission. Of those who died some have no time of death: only hospital_expire_flag tells."""
    last = _last(stays.admission)
    n, died, discharge = int(last.sum()), stays.died[last], stays.dischtime[last]
    timed = died & (np.cumsum(died) % 5 != 1)
    return {
        "subject_id": stays.column("subject_id")[last],
        "hadm_id": stays.column("hadm_id")[last],
        "admittime": stays.admittime[last],
        "dischtime": discharge,
        "deathtime": np.where(timed, discharge, np.datetime64("NaT")),
        "admission_type": ["EW EMER."] * n,
        "admission_location": ["EMERGENCY ROOM"] * n,
        "discharge_location": np.where(died, "DIED", "HOME"),
        "insurance": np.array(["Medicare", "Other"])[rng.integers(0, 2, n)],
        "language": ["ENGLISH"] * n,
        "race": ["UNKNOWN"] * n,
        "hospital_expire_flag": died.astype(np.int64),
    }


def whole_minutes(times: NDArray[Any]) -> NDArray[Any]:
    """Times cut to the minute, as datetime64[s]."""
    return times.astype("datetime64[m]").astype("datetime64[s]")


def _last(group: Integers) -> Flags:
    """Marks the last row of each run of equal numbers."""
    return np.append(group[1:] != group[:-1], True)
