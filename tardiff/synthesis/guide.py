"""What steers a sampling job: the generator with classifier-free guidance, and the guide at its strength."""

from dataclasses import dataclass, replace

from torch import Tensor

from tardiff.guidance.build import build_guide
from tardiff.guidance.gradient_guide import GradientGuide
from tardiff.guidance.repulsion import Repulsion
from tardiff.model.pipeline import RecordGenerator
from tardiff.model.sampling import UNGUIDED, Guide
from tardiff.synthesis.matched_strength import Match, match_strength, pilot_samples
from tardiff.synthesis.plan import Plan


@dataclass(frozen=True)
class Steering:
    """What steers.

    Attributes:
        generator: the plan's, with classifier-free guidance if it is asked for.
        guide: changes the clean estimate.
        match: how its strength was found; None if it was given.
    """

    generator: RecordGenerator
    guide: Guide
    match: Match | None = None


def steer(plan: Plan, progress: bool) -> Steering:
    """Build the guide of a plan and match its strength if none is given.

    Raises:
        TardiffError: as `build_guide`.
    """
    settings = plan.guidance
    generator = plan.generator.with_cfg(settings.cfg_scale, settings.window) if settings.uses_cfg else plan.generator
    matched = settings.strength == "matched"
    repulsion = None
    if "repulsion" in settings.followed and generator.guidable:
        repulsion = Repulsion(*pilot_samples(plan, generator, UNGUIDED, progress, "repulsion"))
    guide = build_guide(generator, plan.classifiers, settings, 1.0 if settings.strength == "matched" else settings.strength, repulsion)
    if not (matched and isinstance(guide, GradientGuide)):
        return Steering(generator, guide)

    def draw(strength: float) -> tuple[Tensor, Tensor]:
        return pilot_samples(plan, generator, replace(guide, strength=strength), progress)

    match = match_strength(draw, plan.classifiers)
    return Steering(generator, replace(guide, strength=match.strength) if match.strength else UNGUIDED, match)
