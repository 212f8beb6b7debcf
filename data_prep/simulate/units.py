"""The care units: who comes to them, and how their nurses and devices chart."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class CareUnit(NamedTuple):
    """A unit under the publisher's name. Shares are of its stays; log odds are added to those of all units."""

    name: str
    share: float
    """Of all stays."""
    age: float
    age_spread: float
    men: float
    deaths: float
    """Factor of the death rate."""
    no_height: float
    no_weight: float
    line: float
    """Log odds of an arterial line."""
    catheter: float
    """Log odds of a urinary catheter."""
    celsius: float
    thirds: float
    """Cuffs that compute the mean pressure, to a third, from the other two; the others measure it, in whole numbers."""
    probe: float
    """Thermometers that stay in, and are read in every round."""
    no_respiration: float
    """Stays whose respiration is never charted."""
    paced: float
    """Hearts under a pacemaker."""
    cold: float
    """Degrees that the operating room has cooled patients by."""


UNITS = (
    CareUnit("Medical Intensive Care Unit (MICU)", 0.29, 64, 17, 0.52, 1.25, 0.55, 0.08, -0.3, -0.2, 0.05, 0.25, 0.05, 0.08, 0.01, 0.0),
    CareUnit("Surgical Intensive Care Unit (SICU)", 0.22, 62, 17, 0.54, 0.95, 0.45, 0.07, 0.1, 0.3, 0.05, 0.4, 0.1, 0.1, 0.02, 0.5),
    CareUnit("Cardiac Vascular Intensive Care Unit (CVICU)", 0.2, 68, 12, 0.67, 0.55, 0.06, 0.02, 1.5, 1.2, 0.6, 0.6, 0.4, 0.3, 0.15, 1.2),
    CareUnit("Coronary Care Unit (CCU)", 0.17, 69, 14, 0.58, 1.0, 0.3, 0.05, -0.3, -0.3, 0.1, 0.5, 0.05, 0.2, 0.07, 0.0),
    CareUnit("Trauma SICU (TSICU)", 0.12, 50, 20, 0.66, 0.9, 0.5, 0.12, 0.2, 0.4, 0.05, 0.2, 0.1, 0.1, 0.01, 0.4),
)


def of_unit(unit: NDArray[np.int64], field: str) -> NDArray[np.float64]:
    """A number of `CareUnit` for each of these positions in `UNITS`."""
    return np.array([getattr(each, field) for each in UNITS], np.float64)[unit]
