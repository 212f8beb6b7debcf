"""What 94,458 stays of 34 channels x 48 hours cost: pieces timed on a slice, the rest arithmetic that is printed with them.

OMP_NUM_THREADS=1 python -m experiments.benchmarks.scale
"""

import time
from collections.abc import Callable
from unittest import mock

import torch

from experiments.benchmarks.made_up import made_up, untrained
from experiments.benchmarks.speed import Training
from tardiff.evaluate import judges
from tardiff.settings import EvaluateSettings, GuidanceSettings, SamplerSettings, TrainSettings

CHANNELS, HOURS, TRAINING_ROWS, WANTED = 34, 48, 75_566, 100_000
SLICE, CHUNK, EPOCHS = 512, 64, 2


def main() -> None:
    """Time the pieces, print what they come to."""
    torch.set_num_threads(1)
    data, settings = made_up(SLICE, CHANNELS, HOURS), TrainSettings()
    step = seconds(Training(data, settings).step, 2)
    steps = TRAINING_ROWS / settings.batch_size
    print(f"training: {step:.2f} s a step x {TRAINING_ROWS:,} rows / {settings.batch_size} = {step * steps:,.0f} s an epoch")

    pipeline, few = untrained(data, settings), data.train.take(slice(CHUNK))
    chart, static, label = pipeline.codec.entries(few).chart, pipeline.statics.encode(few.static), torch.from_numpy(few.label)
    noise, timestep = torch.randn(chart.shape), torch.zeros(CHUNK)
    with torch.no_grad():
        forward = seconds(lambda: pipeline.unet(noise, timestep, label, static, chart), 3)
        charts = seconds(lambda: pipeline.charting.sample(label, range(CHUNK), HOURS, static), 1)
    unguided = SamplerSettings().steps
    for name, asked in (("unguided", unguided), ("classifier-free", unguided * (1 + GuidanceSettings().window))):
        row = (asked * forward + charts) / CHUNK
        print(f"{name}: ({asked:.0f} x {forward:.3f} s + {charts:.3f} s of charts) / {CHUNK} rows x {WANTED:,} = {row * WANTED:,.0f} s")

    evaluation = EvaluateSettings()
    learnt = evaluation.max_rows * evaluation.seeds * (2 + sum(1 + ratio for ratio in evaluation.ratios))
    rows = judges.Rows.of(data.train, pipeline.codec)
    for name in evaluation.models:
        with mock.patch.object(judges, "EPOCHS", EPOCHS):
            fit = seconds(lambda name=name: judges.fit_judge(name, rows, 0), 1)  # type: ignore[misc]
        times = judges.EPOCHS / EPOCHS if name in ("gru", "tcn") else 1
        whole = fit * times * learnt / SLICE
        print(f"{name}: {fit:.2f} s for {SLICE} rows x {times:.0f}, x {learnt:,.0f} rows in all fits = {whole:,.0f} s")


def seconds(job: Callable[[], object], times: int) -> float:
    """Processor seconds of a job that has been done once before."""
    job()
    start = time.process_time()
    for _ in range(times):
        job()
    return (time.process_time() - start) / times


if __name__ == "__main__":
    main()
