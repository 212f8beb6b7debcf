"""One reverse loop for every scheduler, and the probability-flow ODE.

    sample                 rows in batches, one start noise a seed; the chart says which entries there are
      _reverse or _flow    the steps of a scheduler, or of the ODE, from pure noise to a record
        Model.velocity     what a solver asks for: v at x_t after guidance and projection
          in_chunks          always as many rows at a time (`chunk_rows`)
            denoiser           x_t, chart -> v, so x0_hat = alpha x_t - sigma v   (`denoisers.with_cfg` wraps it)
            guide              x0_hat, chart -> a change of x0_hat         (only at steps where `guide.acts`)
          project            x0_hat -> the nearest possible one
        scheduler.step     x_t, v, noise of (seed, step) -> x_next

Sample i depends on seeds[i] alone, bit for bit: its noise is keyed by its seed, and denoiser and guide always run
in chunks of one fixed, padded size, so that no kernel ever sees how many rows were asked for.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from torch import Tensor
from torchdiffeq import odeint

from tardiff.base.device import chunk_rows
from tardiff.base.noise import normal
from tardiff.base.progress import bar
from tardiff.data.resolution import ABSENT
from tardiff.errors import TardiffError
from tardiff.model.diffusion import PROCESS, noise_schedule

Denoiser = Callable[[Tensor, Tensor, Tensor, Tensor | None, Tensor], Tensor]
"""(x_t [b, c, t], timestep [b], label [b], static [b, s] or None, chart [b, c, t]) -> v [b, c, t]."""


Projection = Callable[[Tensor, Tensor], Tensor]
"""x0 and chart [b, c, t] to the nearest x0 that can be (physiologic limits, say)."""


@dataclass(frozen=True)
class Step:
    """One reverse step: its place, and the noise it starts from (x_t = alpha x0 + sigma eps)."""

    index: int
    count: int
    timestep: float
    alpha: float
    sigma: float


class Guide(Protocol):
    """What steers the sampler. It says how the clean estimate should change; the sampler applies that once."""

    @property
    def through_denoiser(self) -> bool:
        """True if it wants the gradient through the denoiser; then `x0_hat` comes with its graph down to `x_t`."""

    def acts(self, step: Step) -> bool:
        """Whether it changes anything at this step."""

    def __call__(self, x0_hat: Tensor, chart: Tensor, label: Tensor, step: Step, x_t: Tensor) -> Tensor:
        """x0_hat, chart and x_t [b, c, t] to a change of x0_hat."""


class Unguided:
    """The guide that changes nothing."""

    through_denoiser = False

    def acts(self, step: Step) -> bool:
        """At no step."""
        return False

    def __call__(self, x0_hat: Tensor, chart: Tensor, label: Tensor, step: Step, x_t: Tensor) -> Tensor:
        """x0_hat, chart and x_t [b, c, t] to 0."""
        return torch.zeros_like(x0_hat)


UNGUIDED = Unguided()

Callback = Callable[[Step, Tensor, Tensor, Tensor], None]
"""(step, x_t, x_next, change that the guide made to the clean estimate), for every batch and step."""


@dataclass(frozen=True)
class Model:
    """The denoiser with its conditions, guide and projection: all that a solver needs to know.

    Attributes:
        denoiser: predicts v.
        chart: what is charted, [b, c, t].
        label: [b].
        static: encoded descriptors [b, s], or None.
        guide: what steers.
        project: what keeps the clean estimate possible, row by row; None leaves it as it is.
    """

    denoiser: Denoiser
    chart: Tensor
    label: Tensor
    static: Tensor | None = None
    guide: Guide = UNGUIDED
    project: Projection | None = None

    @torch.no_grad()
    def velocity(self, x: Tensor, step: Step) -> tuple[Tensor, Tensor]:
        """v at x_t after guidance and projection, and the guide's change; both [b, c, t].

        The clean estimate x0_hat = alpha x - sigma v is edited, then turned back into v: no solver has to know.
        """
        x0_hat, change = in_chunks(lambda *arguments: self._predict(step, *arguments), x, self.chart, self.label, self.static)
        x0_hat = x0_hat + change
        if self.project is not None:
            x0_hat = self.project(x0_hat, self.chart)
        return (step.alpha * x - x0_hat) / step.sigma, change

    def _predict(self, step: Step, x: Tensor, chart: Tensor, label: Tensor, static: Tensor | None) -> tuple[Tensor, Tensor]:
        """The clean estimate and its change, of one chunk."""
        acts = self.guide.acts(step)
        timestep = torch.full((len(x),), step.timestep)  # on the CPU, where it costs nothing to look at it
        with torch.set_grad_enabled(acts and self.guide.through_denoiser):
            x = x.detach().requires_grad_(torch.is_grad_enabled())
            x0_hat = step.alpha * x - step.sigma * self.denoiser(x, timestep, label, static, chart)
        change = self.guide(x0_hat, chart, label, step, x) if acts else torch.zeros_like(x)
        return x0_hat.detach(), change


def in_chunks(function: Callable[..., tuple[Tensor, ...]], *arguments: Tensor | None, chunk: int | None = None) -> tuple[Tensor, ...]:
    """Apply a row-wise function in chunks of exactly `chunk` rows (`chunk_rows`), the last one padded by repeating its last row."""
    first = arguments[0]
    assert first is not None
    rows, chunk = len(first), chunk or chunk_rows(first.device)
    index = torch.arange(-(-rows // chunk) * chunk, device=first.device).clamp(max=rows - 1)
    parts = [function(*(None if a is None else a[part] for a in arguments)) for part in index.split(chunk)]
    return tuple(torch.cat(part)[:rows] for part in zip(*parts, strict=True))


def sample(
    denoiser: Denoiser,
    scheduler: Any,
    label: Tensor,
    chart: Tensor,
    *,
    seeds: Sequence[int],
    static: Tensor | None = None,
    steps: int = 20,
    eta: float = 1.0,
    guide: Guide = UNGUIDED,
    project: Projection | None = None,
    batch_size: int = 256,
    callback: Callback | None = None,
    progress: str | None = None,
) -> Tensor:
    """Draw one sample a seed.

    Args:
        denoiser: predicts v.
        scheduler: a diffusers scheduler for `objective.noise_schedule`'s process, or "ode" for the probability flow.
        label: [N].
        chart: what is charted, [N, C, time].
        seeds: N integers.
        static: encoded descriptors [N, S].
        steps: reverse steps.
        eta: fresh noise of DDIM, 0 .. 1; schedulers without it ignore it.
        guide: what steers.
        project: what keeps the clean estimate possible; None leaves it as it is.
        batch_size: rows carried together, in whole chunks; it bounds memory and never changes a sample.
        callback: called after every step of every batch.
        progress: title of a progress bar; None shows none.

    Returns:
        x0 [N, C, time], 0 where nothing is charted.

    Raises:
        TardiffError: the scheduler draws noise of its own, which no seed could reach.
    """
    if not len(label):
        return torch.empty(chart.shape)
    parts = []
    chunk = chunk_rows(chart.device)
    batch_size = -(-batch_size // chunk) * chunk
    with bar(shown=progress is not None, total=len(label) * steps, desc=progress, unit="step", unit_scale=True) as moved:

        def report(step: Step, x_t: Tensor, x_next: Tensor, change: Tensor) -> None:
            moved.update(len(x_t))
            if callback:
                callback(step, x_t, x_next, change)

        for start in range(0, len(label), batch_size):
            rows = slice(start, start + batch_size)
            model = Model(denoiser, chart[rows], label[rows], None if static is None else static[rows], guide, project)
            x = normal("start", seeds[rows], 0, tuple(chart.shape[1:]), chart.device)
            if scheduler == "ode":
                parts.append(_flow(model, x, steps, report))
            else:
                parts.append(_reverse(model, scheduler, x, steps, eta, seeds[rows], report))
    return torch.cat(parts) * (chart != ABSENT)


def _reverse(model: Model, scheduler: Any, x: Tensor, steps: int, eta: float, seeds: Sequence[int], report: Callback) -> Tensor:
    """Every step of the scheduler.

    Raises:
        TardiffError: the scheduler draws noise of its own, which no seed could reach.
    """
    scheduler.set_timesteps(steps)
    x = x * scheduler.init_noise_sigma
    accepted = inspect.signature(scheduler.step).parameters
    for index, timestep in enumerate(scheduler.timesteps):
        step = _step_at(float(timestep), index, len(scheduler.timesteps))
        offered = {"eta": eta, "variance_noise": normal("step", seeds, index, tuple(x.shape[1:]), x.device)}
        v, change = model.velocity(scheduler.scale_model_input(x, timestep), step)
        before = _random_state(x.device)
        x_next = scheduler.step(v, timestep, x, **{k: o for k, o in offered.items() if k in accepted}, return_dict=False)[0]
        if not torch.equal(before, _random_state(x.device)):
            raise TardiffError(f"{type(scheduler).__name__} draws its own noise, so samples could not be repeated; use DDIM with eta = 1")
        report(step, x, x_next, change)
        x = x_next
    return x


def _random_state(device: torch.device) -> Tensor:
    """Of the generators that a scheduler might draw from."""
    return torch.cat([torch.get_rng_state(), torch.cuda.get_rng_state(device)]) if device.type == "cuda" else torch.get_rng_state()


def dpm_solver(eta: float) -> DPMSolverMultistepScheduler:
    """DPM-Solver++ 2M (arXiv 2211.01095): its stochastic form for eta = 1, the deterministic one for 0.

    Raises:
        TardiffError: `eta` is neither.
    """
    if eta not in (0, 1):
        raise TardiffError(f"--eta {eta}: the dpm sampler takes 0 (deterministic) or 1 (stochastic)")
    # The cosine schedule ends in pure noise, where steps in log-SNR would explode: clip it.
    algorithm = "sde-dpmsolver++" if eta else "dpmsolver++"
    return DPMSolverMultistepScheduler(**PROCESS, algorithm_type=algorithm, lambda_min_clipped=-5.1)


# The probability flow. With alpha = cos(phi) and sigma = sin(phi), x = cos(phi) x0 + sin(phi) eps moves with
# dx/dphi = v: the network's output is the flow's velocity in the angle phi.

ANGLES = np.arccos(np.sqrt(noise_schedule().alphas_cumprod.double().numpy()))
TIMESTEPS = np.arange(len(ANGLES))


def _step_at(timestep: float, index: int, count: int) -> Step:
    angle = np.interp(timestep, TIMESTEPS, ANGLES)
    return Step(index, count, timestep, float(np.cos(angle)), float(np.sin(angle)))


def _flow(model: Model, x: Tensor, steps: int, report: Callback) -> Tensor:
    """The probability flow from noise to data, by Heun's third-order rule (Song et al., arXiv 2011.13456)."""
    for index, ends in enumerate(torch.linspace(ANGLES[-1], ANGLES[0], steps + 1, dtype=torch.float64).unfold(0, 2, 1)):
        passed: list[tuple[Step, Tensor]] = []

        def velocity(angle: Tensor, state: Tensor, index: int = index, passed: list[tuple[Step, Tensor]] = passed) -> Tensor:
            step = _step_at(float(np.interp(float(angle), ANGLES, TIMESTEPS)), index, steps)
            v, change = model.velocity(state, step)
            passed.append((step, change))
            return v

        x_next = odeint(velocity, x, ends, method="heun3")[-1]
        report(passed[0][0], x, x_next, passed[0][1])
        x = x_next
    return x
