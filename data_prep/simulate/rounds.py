"""When nurses go round: what they chart in one round stands at one minute.

Rounds come on the hour, or every second or fourth hour of the day where a patient is well; nearly always to the minute. Some are
missed, the more so the better the patient is; the worse, the more come in between. Nobody charts while a patient is at the scanner.
"""

from dataclasses import dataclass

import numpy as np

from data_prep.simulate.patients import Flags, Integers, Stays
from data_prep.simulate.physiology import Course, chance

NEVER_CHARTED = (40, 7)
"""Period and phase of the stays without a chart."""
INTERVALS = np.array([1, 2, 4])
"""Hours between rounds."""
HOURLY = 2.1
"""Log odds of hourly rounds at severity 0, without an arterial line; a line adds `LINE`."""
LINE = 2.0
TWO_HOURLY = 2 / 3
"""Share of two-hourly rounds where they are not hourly."""
WORSE = 1.5
"""Above this severity rounds are hourly whatever the stay's interval is."""
HELD, BETWEEN = 4.2, -2.2
"""Log odds at severity 0 that a round is not missed, and that there is one on the half hour."""
AWAY, SHORTEST_AWAY, LONGEST_AWAY = 1 / 100, 2, 10
"""Chance that a patient leaves for an examination in a half hour, and the half hours until the return."""
LATE, LATEST = 0.15, 9
"""Share of the rounds that are late, and by how many minutes at most."""


@dataclass(frozen=True)
class Rounds:
    """The rounds of a chunk of stays, by half hour (m in all)."""

    minute: Integers
    """[m] since the start of the stay."""
    charted: Flags
    """[m] there is a round."""
    first: Flags
    """[m] it is the first one of the stay."""
    hourly: Flags
    """[m] there is a round, and it belongs to a full hour."""
    clock: Integers
    """[m] the hour of the day, counted on from the day of arrival."""

    def every(self, hours: int, at: int = 0) -> Flags:
        """The first round, and those at `at` o'clock and every so many hours from there."""
        return self.first | (self.hourly & (self.clock % hours == at))


def draw_rounds(rng: np.random.Generator, stays: Stays, course: Course) -> Rounds:
    """Rounds of patients who stay, on a course that decides how often."""
    stay, slot, m = course.stay, course.slot, len(course.slot)
    arrived = ((stays.intime - stays.intime.astype("datetime64[D]")).astype(np.int64)) // 60
    strikes = 59 - arrived % 60  # minutes from the first whole minute of the stay to the full hour
    late = np.where(rng.random(m) < LATE, rng.integers(1, LATEST + 1, m), 0)
    minute = 30 * slot + (strikes % 30)[stay] + late
    full_hour = slot % 2 == (strikes // 30)[stay]
    clock = (arrived // 60 + 1)[stay] + slot // 2
    inside = (minute < 60 * stays.hours[stay] - 1) & ~stays.every(*NEVER_CHARTED)[stay]
    due = full_hour & ((clock % _intervals(rng, course)[stay] == 0) | (course.severity > WORSE))
    held = chance(rng, np.where(full_hour, HELD, BETWEEN) + course.severity)
    away = course.held(rng.random(m) < AWAY, rng.integers(SHORTEST_AWAY, LONGEST_AWAY + 1, m))
    first = inside & (slot == (strikes // 30)[stay])
    charted = first | (inside & held & ~away & (due | ~full_hour))
    return Rounds(minute, charted, first, charted & full_hour, clock)


def _intervals(rng: np.random.Generator, course: Course) -> Integers:
    """Hours between the rounds of each stay [n]."""
    hourly = chance(rng, HOURLY + course.level + LINE * course.arterial)
    two_hourly = rng.random(len(hourly)) < TWO_HOURLY
    return INTERVALS[np.where(hourly, 0, np.where(two_hourly, 1, 2))]
