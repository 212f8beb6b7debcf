"""The frozen naive implementation that `speed.py` measures against: the same mathematics, written down as it reads. Leave it as it is.

Sizes are those of TarDiff (arXiv 2504.17613) as its release configures them: a U-Net of Conv1d layers, 64 x (1, 2, 4, 4) channels, two
residual blocks a level, a transformer block of eight heads after each of them at the three finest levels, resampling inside
residual blocks; 200 diffusion steps, beta from 5e-4 to 0.1, noise prediction with an L1 loss, AdamW at 1e-4, averaged weights,
batch 128, 20,000 training steps; 20 DDIM steps with eta = 1. Influence guidance is taken by double backward, one record at a time.

Three things differ from the release. What it gets from its encoder of conditions, one token of 32 numbers, is here an embedding of
the label: as wide, and cheaper. With that encoder and layers that it never calls the release has 22.9 M parameters, this 21.7 M.
And its guidance as released changes nothing; here the change is the package's, so that it can be compared.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH, MULTIPLES, BLOCKS, HEADS, TOKEN = 64, (1, 2, 4, 4), 2, 8, 32
ATTENDED = 3  # levels, counted from the finest
DIFFUSION_STEPS, REVERSE_STEPS = 200, 20
BATCH, TRAINING_STEPS, LEARNING_RATE, DECAY = 128, 20_000, 1e-4, 0.9999
ALPHA_BAR = torch.cumprod(1 - torch.linspace(5e-4, 0.1, DIFFUSION_STEPS), dim=0)

Guidance = Callable[[Tensor, Tensor], Tensor]
"""(x0_hat [b, c, t], label [b]) -> gradient of the objective over x0_hat [b, c, t]."""


class Residual(nn.Module):
    """Residual block, its second norm scaled and shifted by step and label; `resample` is -1 to halve the time axis, 1 to double it."""

    def __init__(self, width_in: int, width_out: int, features: int, resample: int = 0) -> None:
        super().__init__()
        self.resample = resample
        self.norm_in, self.norm_out = nn.GroupNorm(32, width_in), nn.GroupNorm(32, width_out)
        self.conv_in, self.conv_out = nn.Conv1d(width_in, width_out, 3, padding=1), nn.Conv1d(width_out, width_out, 3, padding=1)
        self.modulation = nn.Linear(features, 2 * width_out)
        self.shortcut = nn.Conv1d(width_in, width_out, 1) if width_in != width_out else nn.Identity()

    def forward(self, h: Tensor, features: Tensor, token: Tensor) -> Tensor:
        """[b, width_in, t] to [b, width_out, t]."""
        inner = F.silu(self.norm_in(h))
        if self.resample:
            inner, h = (resampled(x, self.resample) for x in (inner, h))
        inner = self.conv_in(inner)
        scale, shift = self.modulation(F.silu(features))[..., None].chunk(2, dim=1)
        return self.shortcut(h) + self.conv_out(F.silu(self.norm_out(inner) * (1 + scale) + shift))


def resampled(x: Tensor, direction: int) -> Tensor:
    """[b, c, t] at half or twice the length."""
    return F.interpolate(x, scale_factor=2, mode="nearest") if direction > 0 else F.avg_pool1d(x, 2)


class Attention(nn.Module):
    """Attention of every step to all steps, or to a token, with the softmax written out."""

    def __init__(self, width: int, source: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width, bias=False)
        self.key, self.value = nn.Linear(source, width, bias=False), nn.Linear(source, width, bias=False)
        self.merge = nn.Linear(width, width)

    def forward(self, h: Tensor, source: Tensor) -> Tensor:
        """[b, t, width] and [b, s, source] to [b, t, width]."""
        q, k, v = (x.unflatten(2, (HEADS, -1)).transpose(1, 2) for x in (self.query(h), self.key(source), self.value(source)))
        weight = (q @ k.transpose(2, 3) / math.sqrt(q.shape[3])).softmax(dim=3)
        return self.merge((weight @ v).transpose(1, 2).flatten(2))


class Transformer(nn.Module):
    """Self-attention, attention to the token, and a gated feed-forward layer of four times the width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(32, width)
        self.enter, self.leave = nn.Conv1d(width, width, 1), nn.Conv1d(width, width, 1)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.to_steps, self.to_token = Attention(width, width), Attention(width, TOKEN)
        self.gate, self.merge = nn.Linear(width, 8 * width), nn.Linear(4 * width, width)

    def forward(self, h: Tensor, features: Tensor, token: Tensor) -> Tensor:
        """[b, width, t] to the same."""
        inner = self.enter(self.norm(h)).transpose(1, 2)
        normed = self.norms[0](inner)
        inner = inner + self.to_steps(normed, normed)
        inner = inner + self.to_token(self.norms[1](inner), token)
        value, gate = self.gate(self.norms[2](inner)).chunk(2, dim=2)
        inner = inner + self.merge(value * F.gelu(gate))
        return h + self.leave(inner.transpose(1, 2))


class NaiveUNet(nn.Module):
    """Predicts the noise of x_t. Lengths must be multiples of 8, widths of 32.

    Args:
        channels: channels of x.
        classes: number of labels.
        width, multiples, blocks: channels of the finest level, those of every level as its multiples, residual blocks a level.
    """

    def __init__(
        self, channels: int, classes: int, width: int = WIDTH, multiples: tuple[int, ...] = MULTIPLES, blocks: int = BLOCKS
    ) -> None:
        super().__init__()
        features = 4 * width
        self.width, self.blocks, self.levels = width, blocks, len(multiples)
        self.time = nn.Sequential(nn.Linear(width, features), nn.SiLU(), nn.Linear(features, features))
        self.label, self.token = nn.Embedding(classes, features), nn.Embedding(classes, TOKEN)
        self.enter = nn.Conv1d(channels, width, 3, padding=1)
        self.down, self.middle, self.up = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        now, skips = width, [width]
        for level, multiple in enumerate(multiples):
            for _ in range(blocks):
                self.down.append(stage(now, width * multiple, features, level))
                now = width * multiple
                skips.append(now)
            if level < self.levels - 1:
                self.down.append(nn.ModuleList([Residual(now, now, features, -1)]))
                skips.append(now)
        self.middle.extend([Residual(now, now, features), Transformer(now), Residual(now, now, features)])
        for level, multiple in reversed(list(enumerate(multiples))):
            for block in range(blocks + 1):
                layers = stage(now + skips.pop(), width * multiple, features, level)
                now = width * multiple
                if level and block == blocks:
                    layers.append(Residual(now, now, features, 1))
                self.up.append(layers)
        self.leave = nn.Sequential(nn.GroupNorm(32, now), nn.SiLU(), nn.Conv1d(now, channels, 3, padding=1))

    def forward(self, x_t: Tensor, timestep: Tensor, label: Tensor) -> Tensor:
        """x_t [b, channels, t], timestep [b] and label [b] to the noise [b, channels, t]."""
        rates = torch.exp(-math.log(10_000.0) * torch.arange(self.width // 2) / (self.width // 2))
        angle = timestep.float()[:, None] * rates
        features = self.time(torch.cat([angle.cos(), angle.sin()], dim=1)) + self.label(label)
        token = self.token(label)[:, None]
        h = self.enter(x_t)
        skips = [h]
        for layers in self.down:
            h = passed(layers, h, features, token)
            skips.append(h)
        h = passed(self.middle, h, features, token)
        for layers in self.up:
            h = passed(layers, torch.cat([h, skips.pop()], dim=1), features, token)
        return self.leave(h)


def stage(width_in: int, width_out: int, features: int, level: int) -> nn.ModuleList:
    """A residual block, at the finest levels with a transformer block behind it."""
    layers = nn.ModuleList([Residual(width_in, width_out, features)])
    if level < ATTENDED:
        layers.append(Transformer(width_out))
    return layers


def passed(layers: nn.ModuleList, h: Tensor, features: Tensor, token: Tensor) -> Tensor:
    """h [b, c, t] through one layer after the other."""
    for layer in layers:
        h = layer(h, features, token)
    return h


class PublishedClassifier(nn.Module):
    """Last state of a bidirectional GRU of two layers and 256 units, and a linear layer."""

    def __init__(self, channels: int, classes: int, units: int = 256) -> None:
        super().__init__()
        self.gru = nn.GRU(channels, units, num_layers=2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * units, classes)

    def loss(self, seen: Tensor, label: Tensor) -> Tensor:
        """seen [b, c, t] and label [b] to the cross-entropy of each sample, [b]."""
        states, _ = self.gru(seen.transpose(1, 2))
        return F.cross_entropy(self.head(states[:, -1]), label, reduction="none")


class Training:
    """The plain training loop, a step at a time."""

    def __init__(self, unet: NaiveUNet) -> None:
        self.unet = unet.train()
        self.optimizer = torch.optim.AdamW(unet.parameters(), LEARNING_RATE)
        self.averaged = [p.detach().clone() for p in unet.parameters()]

    def step(self, x0: Tensor, label: Tensor) -> float:
        """One step on x0 [b, c, t] and label [b]; returns the loss."""
        timestep, eps = torch.randint(DIFFUSION_STEPS, (len(x0),)), torch.randn_like(x0)
        alpha_bar = ALPHA_BAR[timestep][:, None, None]
        x_t = alpha_bar.sqrt() * x0 + (1 - alpha_bar).sqrt() * eps
        loss = (self.unet(x_t, timestep, label) - eps).abs().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            for average, parameter in zip(self.averaged, self.unet.parameters(), strict=True):
                average.mul_(DECAY).add_(parameter, alpha=1 - DECAY)
        return float(loss.detach())


def influence_gradient(
    classifier: nn.Module, v: dict[str, Tensor], see: Callable[[Tensor], Tensor], x0_hat: Tensor, label: Tensor
) -> Tensor:
    """Gradient over x0_hat of J = <grad_theta L(x0_hat, label; theta), v> by double backward, one record at a time.

    Args:
        classifier: has a `loss` of each sample, and is in evaluation mode.
        v: the direction of every parameter.
        see: codec space to what the classifier sees.
        x0_hat: [b, c, t].
        label: [b].

    Returns:
        [b, c, t].
    """
    parameters = dict(classifier.named_parameters())
    rows = []
    for x, y in zip(x0_hat.split(1), label.split(1), strict=True):
        x = x.detach().requires_grad_(True)
        loss = classifier.loss(see(x), y).mean()  # type: ignore[operator]
        gradients = torch.autograd.grad(loss, list(parameters.values()), create_graph=True)
        j = torch.stack([(g * v[name]).sum() for name, g in zip(parameters, gradients, strict=True)]).sum()
        rows.append(torch.autograd.grad(j, x)[0])
    return torch.cat(rows)


@torch.no_grad()
def reverse(
    unet: NaiveUNet,
    label: Tensor,
    shape: tuple[int, int],
    steps: int = REVERSE_STEPS,
    guidance: Guidance | None = None,
    window: float = 1.0,
    strength: float = 0.1,
    clip: float = 3.0,
) -> Tensor:
    """Sample by stochastic DDIM (eta = 1), all records of one batch at a time.

    Args:
        unet: predicts the noise.
        label: [N].
        shape: (channels, time) of a record.
        steps: reverse steps, evenly over the diffusion steps; all of them is ancestral sampling.
        guidance: gradient of what is ascended; None is unguided.
        window: share of the steps that are guided, counted from pure noise.
        strength, clip: size of the change of x0_hat, as in the package.

    Returns:
        x0 [N, channels, time].
    """
    x = torch.randn(len(label), *shape)
    places = torch.linspace(DIFFUSION_STEPS - 1, 0, steps).round().long().tolist()
    for index, (now, after) in enumerate(zip(places, [*places[1:], -1], strict=True)):
        alpha_bar, next_bar = ALPHA_BAR[now], ALPHA_BAR[after] if after >= 0 else torch.tensor(1.0)
        eps = unet(x, torch.full((len(x),), now), label)
        x0_hat = (x - (1 - alpha_bar).sqrt() * eps) / alpha_bar.sqrt()
        if guidance is not None and index < window * steps:
            with torch.enable_grad():
                gradient = guidance(x0_hat, label)
            unit = gradient / gradient.square().mean(dim=(1, 2), keepdim=True).sqrt().clamp(min=1e-12)
            x0_hat = x0_hat + strength * (1 - alpha_bar).sqrt() * unit.clamp(-clip, clip)
            eps = (x - alpha_bar.sqrt() * x0_hat) / (1 - alpha_bar).sqrt()
        fresh = ((1 - next_bar) / (1 - alpha_bar) * (1 - alpha_bar / next_bar)).sqrt()
        x = next_bar.sqrt() * x0_hat + (1 - next_bar - fresh**2).clamp(min=0).sqrt() * eps + fresh * torch.randn_like(x)
    return x
