"""Parameters of `TarDiffSampler`, looked at before anything is trained."""

from numbers import Integral, Real
from typing import Any, get_args

import numpy as np

from tardiff.augment.targets import TargetKind
from tardiff.errors import InputError
from tardiff.settings import ANY, GuidanceSettings, SamplerSettings, TrainSettings, check_range

NUMBERS = {"budget_minutes": Real, "epochs": Integral, "step_hours": Real, "n_jobs": Integral}
SETTINGS = {"guidance": GuidanceSettings, "training": TrainSettings, "sampler": SamplerSettings}
CHOICES = {"features": ("summary", "record"), "target": get_args(TargetKind)}
MAY_BE_NONE = ("step_hours", "n_jobs", *SETTINGS)


def check_parameters(tool: Any) -> None:
    """Refuse a value that could not be read, and values that contradict each other.

    Raises:
        TardiffError: naming the parameter.
    """
    for name, kind in {**NUMBERS, **SETTINGS}.items():
        value = getattr(tool, name)
        if value is None and name in MAY_BE_NONE:
            continue
        if not isinstance(value, kind) or isinstance(value, (bool, np.bool_)):
            what = f"{kind.__name__}(...)" if name in SETTINGS else "a whole number" if kind is Integral else "a number"
            raise InputError(f"{name} {value!r}: give {what}{' or None' * (name in MAY_BE_NONE)}")
    for name, known in CHOICES.items():
        if getattr(tool, name) not in known:
            raise InputError(f"{name} {getattr(tool, name)!r}: give {', '.join(known[:-1])} or {known[-1]}")
    if not isinstance(tool.gate, (bool, np.bool_)):
        raise InputError(f"gate {tool.gate!r}: give True or False")
    for name in ("channels", "units"):
        if isinstance(getattr(tool, name), str):
            raise InputError(f"{name} {getattr(tool, name)!r}: give a list, an entry for each channel")
    check_range(tool, 1e-3, ANY, "budget_minutes")
    if tool.epochs < 1:
        raise InputError(f"epochs {tool.epochs}: must be at least 1")
    if tool.step_hours is not None and not 0 < tool.step_hours < ANY:
        raise InputError(f"step_hours {tool.step_hours}: must be above 0")
    if tool.n_jobs == 0:
        raise InputError("n_jobs 0: give how many guides are fitted side by side, or -1 for all cores")
    if tool.target == "classification" and tool.bins is not None:
        raise InputError("bins: would not be read; they are for a regression target, not target='classification'")
    if tool.guidance_rows is not None and tool.guidance is not None and not tool.guidance.reads_guidance_rows:
        raise InputError("guidance_rows: would not be read; guidance needs an objective that reads them, cosine=1 for example")
