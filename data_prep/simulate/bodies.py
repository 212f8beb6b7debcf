"""Sex, age, height and weight, which depend on each other and on the care unit."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data_prep.simulate.units import of_unit

HEIGHT_OF_MEN, HEIGHT_OF_WOMEN, HEIGHT_SPREAD = 176.0, 162.0, 7.0
"""In cm."""
WOMEN_OLDER = 3.0
"""Years by which women are older than men of the same unit."""
BODY_MASS, BODY_MASS_SPREAD = 27.5, 0.21
"""Median weight in kg over height in metres squared, and the spread of its logarithm, at 64 years."""
LEANER = 0.004
"""How much the logarithm of the body mass falls with every year."""


class Bodies(NamedTuple):
    """Descriptors of n people."""

    male: NDArray[np.bool_]
    age: NDArray[np.float64]
    """In whole years; above 89 it is 91, as the publisher has it."""
    height: NDArray[np.float64]
    """In cm."""
    weight: NDArray[np.float64]
    """In kg."""


def draw_bodies(rng: np.random.Generator, unit: NDArray[np.int64]) -> Bodies:
    """People of these care units: first sex and age by unit, then height by sex, then weight by height and age."""
    n = len(unit)
    male = rng.random(n) < of_unit(unit, "men")
    years = rng.normal(of_unit(unit, "age"), of_unit(unit, "age_spread")) + WOMEN_OLDER * (0.5 - male)
    age: NDArray[np.float64] = np.clip(np.round(years), 18, 91)
    height = rng.normal(np.where(male, HEIGHT_OF_MEN, HEIGHT_OF_WOMEN), HEIGHT_SPREAD)
    mass = BODY_MASS * np.exp(rng.normal(0, BODY_MASS_SPREAD, n) - LEANER * (age - 64))
    return Bodies(male, age, height, np.clip(mass * (height / 100) ** 2, 35, 250))
