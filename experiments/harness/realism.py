"""What a closely looked at cell says of how real its records are, number by number, beside what is asked of them."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

CLEAR = 5.0
"""Standard errors that a real slope on age must exceed to be asked for."""
SLOPE, ERRORS = 0.2, 2.0
"""A slope is kept if it is off by at most this share of the real one, or by so many standard errors of the difference."""
SEXES = ("gender", "sex")

Cell = Mapping[str, Any]
Named = tuple[str, float]


def worst_ks(cell: Cell) -> Named | None:
    """The channel with the largest KS distance, and that distance."""
    ks = cell["records"]["distances"]["ks"]
    return (ks["worst"], ks["number"]) if "worst" in ks else None


def worst_pair(cell: Cell) -> Named | None:
    """The pair of descriptors whose association, from -1 to 1, is furthest off, and by how much."""
    off = [(f"{real['first']}, {real['second']}", _centred(made) - _centred(real)) for real, made in _pairs(cell)]
    return max(((name, abs(by)) for name, by in off), key=lambda pair: pair[1], default=None)


def worst_slope(cell: Cell) -> Named | None:
    """The channel whose clear slope on age is furthest outside of what is allowed, and how far off it is: 1 is just allowed."""
    found = []
    for real, made in _both(cell, "slopes"):
        if real["descriptor"].lower() != "age" or None in (real["slope"], real["standard_error"], made["slope"], made["standard_error"]):
            continue
        if abs(real["slope"]) > CLEAR * real["standard_error"]:
            allowed = max(SLOPE * abs(real["slope"]), ERRORS * float(np.hypot(real["standard_error"], made["standard_error"])))
            found.append((real["channel"], abs(made["slope"] - real["slope"]) / allowed))
    return max(found, key=lambda pair: pair[1], default=None)


def height_by_sex(cell: Cell) -> float | None:
    """How far the mean height of a sex is off at most, in cm."""
    real, made = (cell["records"]["height_by_sex"][name] for name in ("real", "set"))
    return None if real is None or made is None else float(np.max(np.abs(np.subtract(real, made))))


def sex_from_height(cell: Cell) -> float | None:
    """How far the AUROC of sex from height is off."""
    for real, made in _pairs(cell):
        if real["measure"] == "auroc" and real["first"].split("=")[0].lower() in SEXES and real["second"].lower() == "height":
            return abs(float(made["value"]) - float(real["value"]))
    return None


def by_floor(name: str) -> Callable[[Cell], float | None]:
    """A mean distance as a multiple of what held-out real rows have."""

    def ratio(cell: Cell) -> float | None:
        ours, floor = (cell["records"][key][name]["mean"] for key in ("distances", "floor_distances"))
        return None if ours is None or not floor else ours / floor

    return ratio


NAMED: dict[str, Callable[[Cell], Named | None]] = {"worst_ks": worst_ks, "worst_pair": worst_pair, "worst_slope": worst_slope}
"""Measures with the name of what is worst."""
TOLD_APART = tuple(f"told_apart_{name}" for name in ("trees", "gru", "charting", "descriptors"))
DERIVED: dict[str, Callable[[Cell], float | None]] = {
    **{f"floor_{name}": (lambda cell, name=name: cell["records"]["floor_told_apart"].get(name)) for name in TOLD_APART},
    **{f"{name}_by_floor": by_floor(name) for name in ("ks", "co_observation", "observed_rate_by_step")},
    "height_by_sex": height_by_sex,
    "sex_from_height": sex_from_height,
    **{name: (lambda cell, of=of: None if (found := of(cell)) is None else found[1]) for name, of in NAMED.items()},
}
"""Measures that are made of several numbers of a cell's `records`, by name."""
ASKED: dict[str, tuple[str, float | None]] = {
    "told_apart_trees": ("told apart by trees (AUROC)", 0.65),
    "told_apart_gru": ("told apart by a GRU", 0.62),
    "told_apart_charting": ("told apart by the mask alone", 0.55),
    "told_apart_descriptors": ("told apart by descriptors", None),
    "co_observation_by_floor": ("charted together off, times the floor", 2.0),
    "observed_rate_by_step_by_floor": ("observed rate by hour off, times the floor", 2.0),
    "ks_by_floor": ("KS distance, times the floor", 1.5),
    "worst_ks": ("KS distance of the worst channel", None),
    "height_by_sex": ("mean height by sex off (cm)", 2.0),
    "sex_from_height": ("AUROC of sex from height off", 0.05),
    "worst_pair": ("worst association of descriptors off", 0.08),
    "worst_slope": ("worst slope on age, times what is allowed", 1.0),
    "correlation": ("correlations off", 0.03),
    "near_copies": ("near copies (held-out real rows: .01)", 0.01),
    "shadow classifier": ("membership by samples, a classifier of members (AUC)", None),
    "calibrated distance": ("membership by samples, calibrated by a reference (AUC)", None),
    "calibrated denoising": ("membership by the weights of values, likewise", None),
    "calibrated charting": ("membership by the weights of charting, likewise", None),
}
"""What is asked of records: by measure its words, and the most that its mean over seeds may be; None where it is told only."""
ASKED_OF_DEMO = {"told_apart_trees": 0.7}
"""What is asked otherwise of the demo's samples."""


def measured(cell: Cell, name: str) -> float | None:
    """A measure of `DERIVED`; None where the cell was not looked at so closely."""
    return DERIVED[name](cell) if "distances" in cell.get("records", {}) else None


def worst_names(cells: Iterable[Cell], name: str) -> str:
    """What was worst in the seeds, each once; empty for a measure without names."""
    found = [NAMED[name](cell) for cell in cells if name in NAMED and "distances" in cell.get("records", {})]
    return ", ".join(dict.fromkeys(named[0] for named in found if named))


def _both(cell: Cell, what: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Entries of the real profile, each with the set's."""
    profile = cell["records"]["profile"]
    return list(zip(profile["real"][what], profile["set"][what], strict=True))


def _pairs(cell: Cell) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return [(real, made) for real, made in _both(cell, "pairs") if real["value"] is not None and made["value"] is not None]


def _centred(pair: Mapping[str, Any]) -> float:
    value = float(pair["value"])
    return 2 * value - 1 if pair["measure"] == "auroc" else value
