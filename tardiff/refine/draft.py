"""DRaFT-1 (arXiv 2309.17400): the gradient of the rewards through the last reverse step."""

import torch

from tardiff.base.distributed import minibatch_shard
from tardiff.base.noise import stream
from tardiff.errors import TardiffError
from tardiff.model.pipeline import Samples
from tardiff.refine.generator import Rollout
from tardiff.refine.ppo import Stats, optimizer_step, spread_by_class
from tardiff.refine.rewards import WeightedRewards
from tardiff.refine.settings import PPOSettings
from tardiff.refine.trajectories import DiffusionGenerator


def refuse_rough(rewards: WeightedRewards) -> None:
    """Check that every reward passes a gradient.

    Raises:
        TardiffError: naming one that does not.
    """
    for name, part in rewards.parts.items():
        if not hasattr(part, "smooth"):
            raise TardiffError(f"--method draft: reward {name} passes no gradient to the record; use --method ppo or awm")


def draft_update(
    generator: DiffusionGenerator,
    optimizer: torch.optim.Optimizer,
    rollout: Rollout,
    samples: Samples,
    rewards: WeightedRewards,
    settings: PPOSettings,
    seed: int,
    iteration: int,
) -> Stats:
    """One pass over the rows, up the gradient of the rewards.

    The rewards read the decoded record; its gradient is taken as that of the record before decoding (straight through). Each
    reward is divided by its spread within the class, as in the other methods.
    """
    scales = {
        n: torch.from_numpy(spread_by_class(part(samples, samples.label), samples.label)).float() for n, part in rewards.parts.items()
    }
    norms, distances = [], []
    for part in torch.from_numpy(stream("draft order", seed, iteration).permutation(len(rollout.label))).split(settings.minibatch):
        rows, weight = minibatch_shard(part)
        x0, distance = generator.last_step(rollout, rows)
        x = samples.x[rows] + (x0 - x0.detach())
        static, label = rollout.state["static"][rows], rollout.label[rows]
        gain = sum(
            (rewards.weights[name] * term.smooth(x, static, label) / scales[name][rows] for name, term in rewards.parts.items()),  # type: ignore[attr-defined]
            start=torch.zeros(len(rows)),
        )
        loss = -gain.mean() + settings.kl * distance.mean()
        norms.append(optimizer_step(generator.module, optimizer, weight * loss, settings.gradient_clip))
        distances.append(distance.detach().mean())
    return {"kl": float(torch.stack(distances).mean()), "gradient_norm": float(torch.stack(norms).mean())}
