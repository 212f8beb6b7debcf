"""What runs out of patients: outputevents. A catheter's bag is emptied in the hourly rounds, other urine comes when it comes."""

from typing import Any

import numpy as np

from data_prep.simulate.devices import preferred
from data_prep.simulate.items import OUTPUTS
from data_prep.simulate.patients import Flags, Floats, Stays
from data_prep.simulate.physiology import Course, chance
from data_prep.simulate.rounds import Rounds
from data_prep.simulate.rows import Rows
from data_prep.simulate.units import of_unit

CATHETER = 226559
OTHER_SITES = np.array([226560, 226561, 226567, 226584, 226563, 226564, 226565, 226557, 226558])
OTHER_SHARES = np.array([0.55, 0.2, 0.1, *[0.15 / 6] * 6])
CATHETERS = 0.9
"""Log odds of a catheter at severity 0."""
EMPTIED, VOIDED = 0.92, 0.22
"""Share of the hourly rounds that empty a catheter's bag, and of those that find other urine."""
MOST_HOURS = 8
"""Of urine that is found at a time."""
STEPS = np.array([1, 5, 10, 25, 50])
BAG_SHARES = np.array([0.03, 0.45, 0.2, 0.2, 0.12])
URINAL_SHARES = np.array([0.01, 0.08, 0.1, 0.3, 0.51])
"""In which steps of mL nurses read a catheter's bag, and other vessels."""


def outputevents(rng: np.random.Generator, stays: Stays, course: Course, rounds: Rounds) -> dict[str, Any]:
    """Urine, which fails with the kidneys; irrigant in and out; and the residual of tube feeding, which is no urine."""
    stay, n, m = course.stay, len(stays), len(course.slot)
    catheter = chance(rng, CATHETERS + 0.5 * course.level + of_unit(stays.unit, "catheter"))[stay]
    site = np.where(catheter, CATHETER, rng.choice(OTHER_SITES, n, p=OTHER_SHARES)[stay])
    own = rng.normal(4.35, 0.3, n)[stay]
    failed = course.kidneys(stay, course.slot / 2)
    an_hour = np.exp(own + 0.3 * course.wander(rng, 6) + rng.normal(0, 0.3, m) - 0.2 * course.severity - 1.5 * failed)
    found = rounds.hourly & (rng.random(m) < np.where(catheter, EMPTIED, VOIDED))
    volume = np.zeros(m)
    for where, shares in ((found & catheter, BAG_SHARES), (found & ~catheter, URINAL_SHARES)):
        volume[where] = preferred(rng, (an_hour * _hours_since(course, where))[where], STEPS, shares)
    rows = Rows(OUTPUTS, course, rounds.minute)
    for item in (CATHETER, *OTHER_SITES):
        rows.chart(found & (site == item), item, volume)
    irrigated = rounds.every(4) & stays.every(30, 5)[stay]
    rows.chart(irrigated, 227488, np.full(m, 200.0))
    rows.chart(irrigated, 227489, 200 + (5 * np.round(an_hour / 5)))
    rows.chart(rounds.every(4) & course.ventilated[stay], 227510, np.full(m, 60.0))
    return rows.columns(stays)


def _hours_since(course: Course, where: Flags) -> Floats:
    """For each marked half hour, the hours since the one before it in its stay, or since an hour before the stay; elsewhere 0."""
    at = np.flatnonzero(where)
    before = np.diff(course.slot[at], prepend=0)
    opens = np.diff(course.stay[at], prepend=-1) > 0
    hours = np.zeros(len(where))
    hours[at] = np.minimum(np.where(opens, course.slot[at] + 2, before) / 2, MOST_HOURS)
    return hours
