"""Proximal policy optimisation (arXiv 1707.06347) over any generator: pure functions, and one iteration's updates."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tardiff.base.distributed import average_gradients, gather_objects, minibatch_shard
from tardiff.base.noise import stream
from tardiff.refine.generator import Generator, Rollout, Scored
from tardiff.refine.settings import PPOSettings

Stats = dict[str, float]
SAME = 1e-12  # spread of a class's rewards up to which they are equal


def probability_ratio(log_prob: Tensor, old: Tensor) -> Tensor:
    """New over old probability of each decision, [b]; exactly 1 before the first update."""
    return (log_prob - old).exp()


def clipped_loss(ratio: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """PPO's pessimistic objective as a loss, [b]: -min(r A, clip(r, 1 - c, 1 + c) A)."""
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)


def whiten_by_class(reward: NDArray[np.floating], label: NDArray[np.int64]) -> NDArray[np.float64]:
    """Rewards with mean 0 and standard deviation 1 within each class, [N]; 0 where a class's rewards do not differ.

    DDPO's per-prompt statistics: a class that is harder to imitate must not look like a worse decision.
    """
    centred = np.array(reward, dtype=np.float64)
    for c in np.unique(label):
        centred[label == c] -= centred[label == c].mean()
    return centred / spread_by_class(centred, label)


def spread_by_class(reward: NDArray[np.floating], label: NDArray[np.int64]) -> NDArray[np.float64]:
    """Standard deviation in the class of each row, [N]; infinite, so that nothing is taught, where a class's rewards do not differ."""
    result = np.full(len(reward), np.inf)
    for c in np.unique(label):
        spread = reward[label == c].std(dtype=np.float64)
        if spread > SAME:
            result[label == c] = spread
    return result


def approximate_kl(log_ratio: Tensor) -> Tensor:
    """Schulman's estimate of KL(old, new), (r - 1) - log r, [b]: unbiased and never negative."""
    return log_ratio.expm1() - log_ratio


def explained_variance(value: NDArray[np.floating], reward: NDArray[np.floating]) -> float:
    """1 - Var(reward - value) / Var(reward): 1 is a perfect value head, 0 a useless one."""
    variance = float(np.var(reward))
    return 1 - float(np.var(reward - value)) / variance if variance > 0 else 0.0


def loss_terms(scored: Scored, old: Tensor, advantage: Tensor, reward: Tensor, settings: PPOSettings) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of some decisions, a number, and what is logged of them, each [b]."""
    log_ratio = scored.log_prob - old
    ratio = probability_ratio(scored.log_prob, old)
    loss = clipped_loss(ratio, advantage, settings.clip).mean()
    seen = {"ratio": ratio, "approx_kl": approximate_kl(log_ratio), "clip_fraction": ((ratio - 1).abs() > settings.clip).float()}
    if scored.kl is not None:
        loss = loss + settings.kl * scored.kl.mean()
        seen["kl"] = scored.kl
    if scored.value is not None:
        loss = loss + settings.value_weight * (scored.value - reward).square().mean()
    if scored.entropy is not None:
        loss = loss - settings.entropy_weight * scored.entropy.mean()
        seen["entropy"] = scored.entropy
    return loss, seen


def ppo_update(
    generator: Generator,
    optimizer: torch.optim.Optimizer,
    rollout: Rollout,
    reward: NDArray[np.float64],
    settings: PPOSettings,
    seed: int,
    iteration: int,
    on_step: Callable[[dict[str, Tensor]], None] | None = None,
) -> Stats:
    """Several epochs of minibatches over the decisions of a rollout; returns what is logged.

    Args:
        generator: trained in place.
        optimizer: of its parameters.
        rollout: what `generator.sample` gave, before any update of this iteration.
        reward: whitened by class, [N].
        settings: clip, epochs, weights.
        seed: of the order.
        iteration: of the order.
        on_step: called after each optimizer step with what was seen of the minibatch.
    """
    rewards = torch.from_numpy(reward).float()
    advantage, logged = advantages(generator, rollout, rewards)
    taken: dict[str, list[Tensor]] = {}
    for epoch in range(settings.epochs):
        order = stream("ppo order", seed, iteration * settings.epochs + epoch).permutation(rollout.log_prob.numel())
        chosen = torch.from_numpy(order[: max(1, round(settings.share * len(order)))])
        for part in chosen.split(settings.minibatch):
            mine, weight = minibatch_shard(part)
            rows, steps = mine // rollout.decisions, mine % rollout.decisions
            scored = generator.score(rollout, rows, steps)
            loss, seen = loss_terms(scored, rollout.log_prob[rows, steps], advantage[rows], rewards[rows], settings)
            seen |= {"gradient_norm": optimizer_step(generator.module, optimizer, weight * loss, settings.gradient_clip)}
            for name, tensor in seen.items():
                taken.setdefault(name, []).append(tensor.detach().reshape(-1))
            if on_step:
                on_step(seen)
    parts = {name: torch.cat(gather_objects(torch.cat(tensors))) for name, tensors in taken.items()}
    return (
        logged | {name: float(tensor.mean()) for name, tensor in parts.items()} | {"ratio_spread": float((parts["ratio"] - 1).abs().max())}
    )


@torch.no_grad()
def advantages(generator: Generator, rollout: Rollout, reward: Tensor) -> tuple[Tensor, Stats]:
    """Advantage of each row, [N]: the whitened reward; with a value head (one decision a row), less what that expected, whitened again."""
    value = (
        generator.score(rollout, torch.arange(len(reward)), torch.zeros(len(reward), dtype=torch.int64)).value
        if rollout.decisions == 1
        else None
    )
    if value is None:
        return reward, {}
    advantage = whiten_by_class((reward - value).numpy(), rollout.label.numpy())
    return torch.from_numpy(advantage).float(), {"explained_variance": explained_variance(value.numpy(), reward.numpy())}


def optimizer_step(module: nn.Module, optimizer: Any, loss: Tensor, gradient_clip: float) -> Tensor:
    """One step down the loss (the mean of all processes'); returns the gradient's norm before it was clipped."""
    optimizer.zero_grad()
    loss.backward()
    average_gradients(module)
    norm = nn.utils.clip_grad_norm_(module.parameters(), gradient_clip)
    optimizer.step()
    return norm
