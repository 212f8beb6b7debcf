"""What happens to a patient, half hour by half hour.

A latent severity drives everything: an Ornstein-Uhlenbeck process for each stay that starts higher and rises for those who
die. It raises heart and breathing rates, lowers pressure and saturation, and moves temperature either way. Organs follow it
late: laboratory values move with its average of the last day. Some kidneys fail at an hour of their own.
"""

from dataclasses import dataclass

import numpy as np

from data_prep.simulate.patients import Flags, Floats, Integers, Stays
from data_prep.simulate.timeline import Timeline
from data_prep.simulate.units import of_unit

DEATH_LEVEL = 1.0
DEATH_RISE = 1.4
"""How much higher the severity of those who die starts, and how much it rises in two days."""
OU_HOURS = 8.0
OU_SPREAD = 0.6
"""Memory and spread of the severity around a stay's own course."""
LATE_HOURS = 24.0
"""Memory of the organs."""


@dataclass(frozen=True)
class Course(Timeline):
    """The latent course of a chunk of stays, half hour by half hour."""

    severity: Floats
    """[m] about 0 on average, with a spread of about 1."""
    late: Floats
    """[m] the severity averaged over the last day."""
    level: Floats
    """[n] the mean severity of the stay."""
    injury: Floats
    """[n] how far the kidneys fail (0: not at all) and the hour at which they do."""
    injury_hour: Floats
    arterial: Flags
    """[n] has an arterial line; is ventilated."""
    ventilated: Flags

    def kidneys(self, stay: Integers, hour: Floats) -> Floats:
        """How much of the kidneys has failed by then."""
        return self.injury[stay] * sigmoid((hour - self.injury_hour[stay]) / 6)


def draw_course(rng: np.random.Generator, stays: Stays) -> Course:
    """Severity around a level of the stay's own, which rises over two days for those who die."""
    n, died, time = len(stays), stays.died, Timeline.of(stays)
    own = rng.normal(0, 0.8, n) + DEATH_LEVEL * died
    rise = DEATH_RISE * died[time.stay] * np.minimum(time.slot / 96, 1)
    severity = own[time.stay] + rise + OU_SPREAD * time.wander(rng, OU_HOURS)
    slow = float(np.exp(-0.5 / LATE_HOURS))
    late = time.trail((1 - slow) * severity + np.where(time.slot == 0, slow * own[time.stay], 0), slow)
    level = time.mean(severity)
    fails = rng.random(n) < sigmoid(-2.2 + 1.0 * level)
    return Course(
        stay=time.stay,
        slot=time.slot,
        start=time.start,
        severity=severity,
        late=late,
        level=level,
        injury=np.where(fails, rng.uniform(0.4, 1.5, n), 0.0),
        injury_hour=rng.uniform(-6, 60, n),
        arterial=chance(rng, -0.6 + 0.8 * level + of_unit(stays.unit, "line")),
        ventilated=chance(rng, -0.8 + 0.8 * level),
    )


def chance(rng: np.random.Generator, odds: Floats) -> Flags:
    """True with the probability that the log odds mean."""
    return rng.random(odds.shape) < sigmoid(odds)


def sigmoid(odds: Floats) -> Floats:
    """Probability from log odds."""
    return 1 / (1 + np.exp(-odds))
