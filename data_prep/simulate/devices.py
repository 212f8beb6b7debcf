"""What stands beside the bed, and the steps in which it shows numbers."""

from dataclasses import dataclass

import numpy as np

from data_prep.simulate.patients import Flags, Floats, Integers, Stays
from data_prep.simulate.physiology import Course
from data_prep.simulate.units import of_unit
from data_prep.simulate.vitals import Vitals

SET_RATES = np.array([10.0, 12.0, 14.0, 16.0, 18.0])
"""Breaths a minute that ventilators are set to."""


@dataclass(frozen=True)
class Devices:
    """Of each stay [n], by care unit."""

    celsius: Flags
    thirds: Flags
    """The cuff computes the mean pressure from the other two."""
    probe: Flags
    """Temperature is read in every round."""
    respiration: Flags
    """Breaths are charted at all."""
    set_rate: Floats
    """Breaths a minute below which the ventilator does not let a patient fall."""


def draw_devices(rng: np.random.Generator, stays: Stays) -> Devices:
    """The devices of each stay."""

    def share(field: str) -> Flags:
        return rng.random(len(stays)) < of_unit(stays.unit, field)

    return Devices(share("celsius"), share("thirds"), share("probe"), ~share("no_respiration"), rng.choice(SET_RATES, len(stays)))


@dataclass(frozen=True)
class Readings:
    """What the devices show [m]."""

    hr: Floats
    sbp: Floats
    dbp: Floats
    map_by_line: Floats
    map_by_cuff: Floats
    """Whole, or in thirds to two digits."""
    resp: Floats
    spo2: Floats
    celsius: Floats
    """In tenths."""
    fahrenheit: Floats
    """In tenths."""


def read(vitals: Vitals, devices: Devices, course: Course) -> Readings:
    """Vital signs in the steps of the devices."""
    stay = course.stay
    sbp, dbp, mean = vitals.sbp.round(), vitals.dbp.round(), vitals.map.round()
    breaths = np.where(course.ventilated[stay], np.maximum(vitals.resp, devices.set_rate[stay]), vitals.resp)
    return Readings(
        hr=vitals.hr.round(),
        sbp=sbp,
        dbp=dbp,
        map_by_line=mean,
        map_by_cuff=np.where(devices.thirds[stay], thirds(sbp, dbp), mean),
        resp=breaths.round(),
        spo2=vitals.spo2.round(),
        celsius=vitals.temp.round(1),
        fahrenheit=(vitals.temp * 1.8 + 32).round(1),
    )


def thirds(sbp: Floats, dbp: Floats) -> Floats:
    """The mean pressure as a cuff computes it."""
    return ((sbp + 2 * dbp) / 3).round(2)


def preferred(rng: np.random.Generator, volume: Floats, steps: Integers, shares: Floats) -> Floats:
    """Volumes as people read them from a scale: in steps of their liking [k] with these shares, small ones in steps of 5 at most."""
    step = rng.choice(steps, len(volume), p=shares)
    step = np.where(volume < step, np.minimum(step, 5), step)
    return step * np.round(volume / step)
