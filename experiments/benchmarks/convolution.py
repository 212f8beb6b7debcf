"""The three-tap convolution over time in every layout that PyTorch offers, against the machine's matrix product."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils import mkldnn

from experiments.benchmarks.clock import in_turn

BATCH, WIDTH, STEPS, TAPS = 128, 64, 48, 3
SIZES = (512, 1024, 2048)  # of square matrices whose product is the peak
REPEATS, ROUNDS = 40, 9

Layout = Callable[[Tensor, Tensor, Tensor], tuple[Callable[[], Tensor], Callable[[Tensor], Tensor]]]
"""(x [b, c, t], weight [d, c, taps], bias [d]) -> the convolution on x as the layout wants it, and its result back to [b, d, t]."""


def conv1d(x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Callable[[], Tensor], Callable[[Tensor], Tensor]]:
    """Channels before time, as `Conv1d` comes."""
    x = x.contiguous()
    return lambda: F.conv1d(x, weight, bias, padding=1), lambda out: out


def conv2d(x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Callable[[], Tensor], Callable[[Tensor], Tensor]]:
    """An image of one row in channels-last memory: what `TemporalUNet` does."""
    image, kernel = (a[:, :, None].contiguous(memory_format=torch.channels_last) for a in (x, weight))
    return lambda: F.conv2d(image, kernel, bias, padding=(0, 1)), lambda out: out[:, :, 0]


def conv2d_column(x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Callable[[], Tensor], Callable[[Tensor], Tensor]]:
    """An image of one column in channels-last memory."""
    image, kernel = (a[..., None].contiguous(memory_format=torch.channels_last) for a in (x, weight))
    return lambda: F.conv2d(image, kernel, bias, padding=(1, 0)), lambda out: out[..., 0]


def blocked(x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Callable[[], Tensor], Callable[[Tensor], Tensor]]:
    """oneDNN's own blocks of channels."""
    layer = nn.Conv2d(weight.shape[1], weight.shape[0], (1, weight.shape[2]), padding=(0, 1)).eval()
    layer.load_state_dict({"weight": weight[:, :, None], "bias": bias})
    inside, image = mkldnn.to_mkldnn(layer), x[:, :, None].contiguous().to_mkldnn()
    return lambda: inside(image), lambda out: out.to_dense()[:, :, 0]


def unfolded(x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Callable[[], Tensor], Callable[[Tensor], Tensor]]:
    """Neighbouring steps copied side by side, and one matrix product."""
    steps, matrix = x.transpose(1, 2).contiguous(), weight.permute(2, 1, 0).flatten(0, 1).contiguous()

    def run() -> Tensor:
        windows = F.pad(steps, (0, 0, 1, 1)).unfold(1, weight.shape[2], 1).transpose(2, 3)
        return torch.addmm(bias, windows.reshape(-1, len(matrix)), matrix)

    return run, lambda out: out.unflatten(0, (len(x), -1)).transpose(1, 2)


def tap_by_tap(x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Callable[[], Tensor], Callable[[Tensor], Tensor]]:
    """One matrix product a tap, added up."""
    steps = F.pad(x.transpose(1, 2), (0, 0, 1, 1)).flatten(0, 1).contiguous()  # a step of padding at either end of every record
    taps = list(weight.permute(2, 1, 0).contiguous())
    rows = len(steps) - len(taps) + 1

    def run() -> Tensor:
        out = torch.addmm(bias, steps[:rows], taps[0])
        for tap in range(1, len(taps)):
            out.addmm_(steps[tap : tap + rows], taps[tap])
        return out

    return run, lambda out: F.pad(out, (0, 0, 0, len(taps) - 1)).unflatten(0, (len(x), -1))[:, : x.shape[2]].transpose(1, 2)


LAYOUTS: dict[str, Layout] = {
    "Conv1d, contiguous": conv1d,
    "Conv2d 1 x T, channels last (ours)": conv2d,
    "Conv2d T x 1, channels last": conv2d_column,
    "oneDNN blocked": blocked,
    "unfold and matrix product": unfolded,
    "matrix product a tap": tap_by_tap,
}


@torch.no_grad()
def throughput() -> tuple[float, dict[str, float]]:
    """Peak of the matrix product, and every layout's forward pass, in GFLOP a second."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(BATCH, WIDTH, STEPS, generator=generator)
    weight, bias = torch.randn(WIDTH, WIDTH, TAPS, generator=generator), torch.randn(WIDTH, generator=generator)
    squares = {f"product of {size}": torch.randn(size, size, generator=generator) for size in SIZES}
    jobs: dict[str, Callable[[], object]] = {name: lambda a=a: a @ a for name, a in squares.items()}  # type: ignore[misc]
    for name, layout in LAYOUTS.items():
        jobs[name] = repeated(layout(x, weight, bias)[0])
    taken = in_turn(jobs, ROUNDS)
    peak = max(2 * len(a) ** 3 / taken[name].cpu for name, a in squares.items()) / 1e9
    work = 2 * BATCH * STEPS * WIDTH * WIDTH * TAPS * REPEATS / 1e9
    return peak, {name: work / taken[name].cpu for name in LAYOUTS}


def repeated(run: Callable[[], object]) -> Callable[[], object]:
    """`REPEATS` times the same: one alone is too short for the clock."""

    def job() -> None:
        for _ in range(REPEATS):
            run()

    return job
