"""What steers a sampling job: the generator with classifier-free guidance, and the guide at its strength."""

import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from tardiff.base.distributed import main_process
from tardiff.base.files import read_struct, write_json
from tardiff.guidance.build import build_guide
from tardiff.guidance.gradient_guide import GradientGuide
from tardiff.guidance.objectives import Repulsion
from tardiff.model.pipeline import RecordGenerator
from tardiff.model.sampling import UNGUIDED, Guide
from tardiff.synthesis.matched_strength import USUAL_SCALE, Match, matched, pilot_samples
from tardiff.synthesis.plan import Plan


@dataclass(frozen=True)
class Steering:
    """What steers: the generator, with classifier-free guidance if asked for, the guide, and how its strength was found, if it was."""

    generator: RecordGenerator
    guide: Guide
    match: Match | None = None


def steer(plan: Plan, progress: bool, kept: Path | None = None) -> Steering:
    """Build the guide of a plan and match its strength if none is given.

    Args:
        kept: file in which the match is kept and looked for; its name stands for all that the match depends on. None keeps none.
    """
    settings = plan.guidance
    given = None if settings.cfg_scale == "matched" else settings.cfg_scale

    def with_cfg(cfg_scale: float) -> RecordGenerator:
        return plan.generator.with_cfg(cfg_scale, settings.window) if settings.uses_cfg else plan.generator

    generator = with_cfg(USUAL_SCALE if given is None else given)
    repulsion = None
    if "repulsion" in settings.followed and generator.guidable:
        away = pilot_samples(plan, generator, UNGUIDED, progress, "repulsion")
        repulsion = Repulsion(generator.codec.encode(away).to(generator.device), torch.from_numpy(away.label).to(generator.device))
    guide = build_guide(generator, plan.classifiers, settings, 1.0 if settings.strength == "matched" else settings.strength, repulsion)
    if not (settings.strength == "matched" and isinstance(guide, GradientGuide)):
        return Steering(generator, guide)
    if kept is not None and kept.exists():
        match = read_struct(kept, Match)
    else:
        match = matched(plan, guide, given if generator.labelled else 1.0, progress)
        if kept is not None and main_process():
            keep(match, kept)
    return Steering(with_cfg(match.cfg_scale), replace(guide, strength=match.strength) if match.strength else UNGUIDED, match)


def keep(match: Match, path: Path) -> None:
    """Write a match down for the next time; where nothing can be written, say so and go on."""
    try:
        path.parent.mkdir(exist_ok=True)
        write_json(path, asdict(match))
    except OSError as error:
        print(
            f"warning: {path}: the match cannot be kept ({error.strerror or error}), so it is measured again the next time", file=sys.stderr
        )
