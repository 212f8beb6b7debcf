"""What the laboratory reports: labevents, from a day before the unit to half a day after it. The sicker, the more is sent."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_prep.simulate.items import GASES, LABS, PANELS, SPECIMEN_TYPE, WHITE_CELLS
from data_prep.simulate.patients import LONGEST_HOURS, Floats, Integers, Stays, whole_minutes
from data_prep.simulate.physiology import Course, chance

EARLIEST_HOUR, EVERY_HOURS = -24, 6
DRAWS = (LONGEST_HOURS + 12 - EARLIEST_HOUR) // EVERY_HOURS
"""Times a stay at which blood may be drawn."""
ASSAY_LIMIT = 0.2
"""Of bilirubin, in mg/dL; below it only a comment is reported."""
VENOUS = {50821: 0.42, 50818: 1.15, 50817: 0.74}
"""How venous blood differs from arterial."""

_ITEM = np.array([lab.id for lab in LABS])
_PANEL = np.array([list(PANELS).index(lab.panel) for lab in LABS])


def labevents(rng: np.random.Generator, stays: Stays, course: Course) -> dict[str, Any]:
    """One row a result, by stay and time."""
    specimen_stay, draw, panel = _specimens(rng, stays, course)
    reported = _PANEL == panel[:, None]
    specimen, lab = np.nonzero(reported)
    stay = specimen_stay[specimen]
    hour = EARLIEST_HOUR + EVERY_HOURS * draw + (stays.number[specimen_stay] * 37 + draw * 11) % 60 / 60
    kind = _gas_kinds(rng, course, specimen_stay)
    value = _values(rng, stays, course, stay, hour[specimen], lab, kind[specimen] > 0)
    number = stays.number[stay]
    item = _items(number, lab)
    told = (item != SPECIMEN_TYPE) | (specimen % 12 != 0)  # a few gases come without their type
    unmeasured = (item == 50885) & (value < ASSAY_LIMIT)
    removed = (item != SPECIMEN_TYPE) & ~unmeasured & (np.arange(len(item)) % 15 == 0)
    numbers = pa.array(value, mask=(item == SPECIMEN_TYPE) | unmeasured)
    texts = pc.if_else(pa.array(removed), "___", numbers.cast(pa.string()))  # the publisher's mark; valuenum still has the number
    texts = pc.if_else(pa.array(item == SPECIMEN_TYPE), pa.array(GASES).take(pa.array(kind[specimen])), texts)
    at = whole_minutes(stays.intime)[stay] + (60 * np.round(60 * hour[specimen])).astype(np.int64)
    linked = (at >= stays.admittime[stay]) & (at <= stays.dischtime[stay]) & (draw[specimen] % 13 != 0)
    delay = np.where(specimen % 100 == 0, 2000, 20 + rng.integers(0, 100, len(specimen_stay))[specimen])
    columns = {
        "labevent_id": 1 + number * DRAWS * len(LABS) + np.arange(len(stay)) - np.searchsorted(stay, stay),
        "subject_id": stays.column("subject_id")[stay],
        "hadm_id": pa.array(stays.column("hadm_id")[stay], mask=~linked),
        "specimen_id": 1 + number * DRAWS * len(PANELS) + (draw * len(PANELS) + panel)[specimen],
        "itemid": item,
        "charttime": at,
        "storetime": at + 60 * delay,
        "value": texts,
        "valuenum": numbers,
        "valueuom": pa.array([lab.unit for lab in LABS]).take(pa.array(lab)),
        **_reference(lab, value),
        "priority": pa.array(["STAT", "ROUTINE"]).take(pa.array(draw[specimen] % 2)),
        "comments": _comments(item, specimen, unmeasured),
    }
    keep = pa.array(told)
    return {name: pa.array(column).filter(keep) for name, column in columns.items()}


def _specimens(rng: np.random.Generator, stays: Stays, course: Course) -> tuple[Integers, Integers, Integers]:
    """Stay, draw and panel of every specimen."""
    base, slope = (np.array([odds[i] for odds in PANELS.values()]) for i in (0, 1))
    stay, draw = (index.ravel() for index in np.indices((len(stays), DRAWS)))
    hour = EARLIEST_HOUR + EVERY_HOURS * draw
    stay, draw = stay[hour < stays.hours[stay] + 12], draw[hour < stays.hours[stay] + 12]
    hour = EARLIEST_HOUR + EVERY_HOURS * draw
    severity = course.severity[course.at(stay, hour.astype(np.float64))]
    outside = (hour < 0) | (hour > stays.hours[stay])
    odds = base + slope * severity[:, None] - 2.5 * (draw % 2)[:, None] - 1.0 * outside[:, None]
    odds[:, list(PANELS).index("gas")] += 1.5 * course.arterial[stay]
    drawn, panel = np.nonzero(chance(rng, odds))
    return stay[drawn], draw[drawn], panel


def _gas_kinds(rng: np.random.Generator, course: Course, stay: Integers) -> Integers:
    """Position in `GASES` for each specimen: who has an arterial line gives arterial blood more often."""
    venous = rng.random(len(stay)) > np.where(course.arterial[stay], 0.9, 0.5)
    return np.where(venous, 1 + (rng.random(len(stay)) < 0.3), 0)


def _values(
    rng: np.random.Generator, stays: Stays, course: Course, stay: Integers, hour: Floats, lab: Integers, venous: "np.ndarray[Any, Any]"
) -> Floats:
    def parameter(name: str) -> Floats:
        return np.array([getattr(lab, name) for lab in LABS], np.float64)[lab]

    own = rng.normal(0, 1, (len(stays), len(LABS)))
    late, failed = course.late[course.at(stay, hour)], course.kidneys(stay, hour)
    change = parameter("spread") * own[stay, lab] + parameter("effect") * late + parameter("kidneys") * failed
    value = parameter("normal") * np.exp(change + parameter("noise") * rng.normal(0, 1, len(stay)))
    for item, factor in VENOUS.items():
        value[venous & (_ITEM[lab] == item)] *= factor
    scale = 10.0 ** parameter("digits")
    return np.minimum(np.round(value * scale), np.round(parameter("most") * scale)) / scale - parameter("minus")


def _items(number: Integers, lab: Integers) -> Integers:
    """Item ids; white blood cells have another one in some stays."""
    item = _ITEM[lab]
    for phase, other in enumerate(WHITE_CELLS, start=4):
        item[(item == 51301) & (number % 9 == phase)] = other
    return item


def _reference(lab: Integers, value: Floats) -> dict[str, pa.Array]:
    none = np.array([lab.reference is None for lab in LABS])[lab]
    low, high = (np.array([lab.reference[i] if lab.reference else 0.0 for lab in LABS])[lab] for i in (0, 1))
    return {
        "ref_range_lower": pa.array(low, mask=none),
        "ref_range_upper": pa.array(high, mask=none),
        "flag": pc.if_else(pa.array(~none & ((value < low) | (value > high))), "abnormal", ""),
    }


def _comments(item: Integers, specimen: Integers, unmeasured: "np.ndarray[Any, Any]") -> pa.Array:
    """What was said about a result, with commas and quotes."""
    comments = pa.array(
        [
            "",
            "If fasting, 70-100 normal, >125 provisional diabetes.",
            "REPORTED TO ___, RN, AT BEDSIDE.",
            'CALLED "CRITICAL" TO ___, MD.',
            f"<{ASSAY_LIMIT}.",
        ]
    )
    told, called = (item == 50813) & (specimen % 7 == 0), (item == 50971) & (specimen % 11 == 0)
    which = np.select([item == 50931, told, called, unmeasured], [1, 2, 3, 4])
    return comments.take(pa.array(which))
