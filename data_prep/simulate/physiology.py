"""What happens to a patient, half hour by half hour.

A latent severity drives everything: an Ornstein-Uhlenbeck process for each stay that starts higher and rises for those who
die. It raises heart and breathing rates, lowers pressure and saturation, and moves temperature either way. Organs follow it
late: laboratory values move with its average of the last day. Some kidneys fail at an hour of their own.
"""

from dataclasses import dataclass

import numpy as np

from data_prep.simulate.patients import LONGEST_HOURS, Flags, Floats, Integers, Stays

SLOTS = 2 * LONGEST_HOURS
"""Half hours in which something can be charted."""
DEATH_LEVEL = 0.9
DEATH_RISE = 1.4
"""How much higher the severity of those who die starts, and how much it rises in two days."""
OU_HOURS = 8.0
OU_SPREAD = 0.6
"""Memory and spread of the severity around a stay's own course."""
LATE_HOURS = 24.0
"""Memory of the organs."""


@dataclass(frozen=True)
class Course:
    """The latent course of a chunk of stays: one entry for each half hour that is spent in the unit (m in all)."""

    stay: Integers
    """[m] position of the stay in its chunk."""
    slot: Integers
    """[m] half hours since the start of the stay."""
    severity: Floats
    """[m] about 0 on average, with a spread of about 1."""
    late: Floats
    """[m] the severity averaged over the last day."""
    start: Integers
    """[n + 1] where each stay begins."""
    injury: Floats
    """[n] how far the kidneys fail (0: not at all) and the hour at which they do."""
    injury_hour: Floats
    arterial: Flags
    """[n] has an arterial line; is ventilated."""
    ventilated: Flags

    def at(self, stay: Integers, hour: Floats) -> Integers:
        """Positions [m] of stays at hours, held inside the stay."""
        return np.clip(self.start[stay] + np.floor(2 * hour).astype(np.int64), self.start[stay], self.start[stay + 1] - 1)

    def kidneys(self, stay: Integers, hour: Floats) -> Floats:
        """How much of the kidneys has failed by then."""
        failed: Floats = self.injury[stay] * sigmoid((hour - self.injury_hour[stay]) / 6)
        return failed


def draw_course(rng: np.random.Generator, stays: Stays) -> Course:
    """Severity around a level of the stay's own, which rises over two days for those who die."""
    n, died = len(stays), stays.died
    hours = np.arange(SLOTS) / 2
    own = rng.normal(0, 0.8, n) + DEATH_LEVEL * died
    severity: Floats = own[:, None] + DEATH_RISE * died[:, None] * np.minimum(hours / 48, 1)
    decay, slow = np.exp(-0.5 / OU_HOURS), np.exp(-0.5 / LATE_HOURS)
    noise = rng.normal(0, OU_SPREAD * np.sqrt(1 - decay**2), severity.shape)
    state = rng.normal(0, OU_SPREAD, n)
    late = np.empty_like(severity)
    average = own
    for slot in range(int(np.ceil(2 * stays.hours.max()))):
        state = decay * state + noise[:, slot]
        severity[:, slot] += state
        average = slow * average + (1 - slow) * severity[:, slot]
        late[:, slot] = average
    inside = np.arange(SLOTS) < np.ceil(2 * stays.hours)[:, None]
    stay, slot_of = np.nonzero(inside)
    start = np.append(0, np.cumsum(inside.sum(axis=1)))
    level = np.add.reduceat(severity[inside], start[:-1]) / np.diff(start)
    fails = rng.random(n) < sigmoid(-2.2 + 1.0 * level)
    injury = np.where(fails, rng.uniform(0.4, 1.5, n), 0.0)
    return Course(
        stay=stay,
        slot=slot_of,
        severity=severity[inside],
        late=late[inside],
        start=start,
        injury=injury,
        injury_hour=rng.uniform(-6, 60, n),
        arterial=chance(rng, -0.5 + 0.8 * level),
        ventilated=chance(rng, -0.8 + 0.8 * level),
    )


def vital_signs(rng: np.random.Generator, stays: Stays, course: Course) -> dict[str, Floats]:
    """Each vital sign [m]: the patient's baseline, the severity, the time of day and noise. Diastolic < mean < systolic."""
    severity = course.severity

    def baseline(mean: float, spread: float) -> Floats:
        own: Floats = rng.normal(mean, spread, len(stays))[course.stay]
        return own

    def noise(spread: float) -> Floats:
        return rng.normal(0, spread, len(severity))

    started = (stays.intime - stays.intime.astype("datetime64[D]")).astype(np.int64) / 3600
    day = np.sin(2 * np.pi * (started[course.stay] + course.slot / 2 - 9) / 24)
    mean = np.clip(baseline(80, 8) - 4.5 * severity + 2 * day + noise(4), 25, 160)
    pulse = np.clip(baseline(55, 9) - 2 * severity + noise(4), 12, 120)
    direction = rng.choice([-0.5, 0.35, 0.5], len(stays))[course.stay]
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


def chance(rng: np.random.Generator, odds: Floats) -> Flags:
    """True with the probability that the log odds mean."""
    drawn: Flags = rng.random(odds.shape) < sigmoid(odds)
    return drawn


def sigmoid(odds: Floats) -> Floats:
    """Probability from log odds."""
    probability: Floats = 1 / (1 + np.exp(-odds))
    return probability
