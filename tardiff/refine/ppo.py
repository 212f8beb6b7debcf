"""Proximal policy optimisation (arXiv 1707.06347) over any generator: pure functions, and one iteration's updates."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from tardiff.base.distributed import average_gradients, gather_objects, minibatch_shard
from tardiff.base.noise import stream
from tardiff.refine.generator import Generator, Rollout, Scored
from tardiff.refine.settings import PPOSettings

Stats = dict[str, float]
SAME = 1e-12  # spread of a class's rewards up to which they are equal


@dataclass(frozen=True)
class LossWeights:
    """Weights in the loss: of the divergence from the frozen base, of the value head's squared error, of the entropy bonus."""

    kl: float = 0.0
    vf_coef: float = 0.0
    ent_coef: float = 0.0


def probability_ratio(log_prob: Tensor, old: Tensor) -> Tensor:
    """New over old probability of each decision, [b]; exactly 1 before the first update."""
    return (log_prob - old).exp()


def clipped_loss(ratio: Tensor, advantage: Tensor, clip_coef: float) -> Tensor:
    """PPO's pessimistic objective as a loss, [b]: -min(r A, clip(r, 1 - c, 1 + c) A)."""
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - clip_coef, 1 + clip_coef) * advantage)


def whiten_by_class(reward: NDArray[np.floating], label: NDArray[np.int64]) -> NDArray[np.float64]:
    """Rewards with mean 0 and standard deviation 1 within each class, [N]; 0 where a class's rewards do not differ.

    DDPO's per-prompt statistics: a class that is harder to imitate must not look like a worse decision.
    """
    white = np.zeros(len(reward))
    for c in np.unique(label):
        own = reward[label == c].astype(np.float64)
        centred = own - own.mean()
        if (spread := centred.std()) > SAME:
            white[label == c] = centred / spread
    return white


def approximate_kl(log_ratio: Tensor) -> Tensor:
    """Schulman's estimate of KL(old, new), (r - 1) - log r, [b]: unbiased and never negative."""
    return log_ratio.expm1() - log_ratio


def explained_variance(value: NDArray[np.floating], reward: NDArray[np.floating]) -> float:
    """1 - Var(reward - value) / Var(reward): 1 is a perfect value head, 0 a useless one."""
    variance = float(np.var(reward))
    return 1 - float(np.var(reward - value)) / variance if variance > 0 else 0.0


def loss_terms(
    scored: Scored, old: Tensor, advantage: Tensor, reward: Tensor, clip_coef: float, weights: LossWeights
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of some decisions, a number, and what is logged of them, each [b]."""
    log_ratio = scored.log_prob - old
    ratio = probability_ratio(scored.log_prob, old)
    loss = clipped_loss(ratio, advantage, clip_coef).mean()
    logged = {"ratio": ratio, "approx_kl": approximate_kl(log_ratio), "clip_fraction": ((ratio - 1).abs() > clip_coef).float()}
    if scored.kl is not None:
        loss = loss + weights.kl * scored.kl.mean()
        logged["kl"] = scored.kl
    if scored.value is not None:
        loss = loss + weights.vf_coef * (scored.value - reward).square().mean()
    if scored.entropy is not None:
        loss = loss - weights.ent_coef * scored.entropy.mean()
        logged["entropy"] = scored.entropy
    return loss, logged


def ppo_update(
    generator: Generator,
    optimizer: torch.optim.Optimizer,
    rollout: Rollout,
    reward: NDArray[np.float64],
    settings: PPOSettings,
    loss_weights: LossWeights,
    seed: int,
    iteration: int,
) -> Stats:
    """Several epochs of minibatches over the decisions of a fresh rollout, by rewards whitened by class, [N]; returns what is logged."""
    device = rollout.log_prob.device
    rewards = torch.from_numpy(reward).float().to(device)
    advantage, stats = advantages(generator, rollout, rewards)
    taken: dict[str, list[Tensor]] = {}
    for epoch in range(settings.update_epochs):
        order = stream("ppo order", seed, iteration * settings.update_epochs + epoch).permutation(rollout.log_prob.numel())
        chosen = torch.from_numpy(order[: max(1, round(settings.share * len(order)))]).to(device)
        for part in chosen.split(settings.minibatch_size):
            mine, weight = minibatch_shard(part)
            rows, steps = mine // rollout.decisions, mine % rollout.decisions
            scored = generator.score(rollout, rows, steps)
            old = rollout.log_prob[rows, steps]
            loss, logged = loss_terms(scored, old, advantage[rows], rewards[rows], settings.clip_coef, loss_weights)
            optimizer.zero_grad()
            (weight * loss).backward()
            average_gradients(generator.module)
            logged["gradient_norm"] = clip_grad_norm_(generator.module.parameters(), settings.max_grad_norm)
            optimizer.step()
            for name, tensor in logged.items():
                taken.setdefault(name, []).append(tensor.detach().reshape(-1))
    parts = {name: torch.cat(gather_objects(torch.cat(tensors).cpu())) for name, tensors in taken.items()}
    means = {name: float(tensor.mean()) for name, tensor in parts.items()}
    return stats | means | {"ratio_spread": float((parts["ratio"] - 1).abs().max())}


@torch.no_grad()
def advantages(generator: Generator, rollout: Rollout, reward: Tensor) -> tuple[Tensor, Stats]:
    """Advantage of each row, [N]: the whitened reward; with a value head (one decision a row), less what that expected, whitened again."""
    first = torch.zeros(len(reward), dtype=torch.int64, device=reward.device)
    value = generator.score(rollout, torch.arange(len(reward), device=reward.device), first).value if rollout.decisions == 1 else None
    if value is None:
        return reward, {}
    expected, found = value.cpu().numpy(), reward.cpu().numpy()
    advantage = whiten_by_class(found - expected, rollout.label.cpu().numpy())
    return torch.from_numpy(advantage).float().to(reward.device), {"explained_variance": explained_variance(expected, found)}
