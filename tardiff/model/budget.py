"""How large a generator, and how long to train it: by the size of the data and the minutes that are granted.

The minutes pick a row of a table; no clock is read, so the same seed gives the same samples on every machine.
"""

from tardiff.settings import TrainSettings

SIZES: tuple[tuple[float, tuple[int, ...], int], ...] = (
    # seconds an optimizer step takes on one core, for records of 24 steps in batches of 64; widths; blocks
    (0.09, (64, 128), 1),
    (0.04, (32, 64), 1),
    (0.024, (16, 32), 1),
)
WANTED_STEPS = ((500, 1000), (2000, 2000))
"""Up to so many rows, so many optimizer steps are enough."""
MOST_STEPS = 2500
FEWEST_STEPS = 30
REFERENCE_STEPS = 24


def training_settings(rows: int, steps: int, minutes: float, seed: int) -> TrainSettings:
    """Settings of a small generator: the widest network that can be trained as long as the rows deserve."""
    wanted = next((n for up_to, n in WANTED_STEPS if rows <= up_to), MOST_STEPS)
    affordable = [int(60 * minutes / (seconds * max(1.0, steps / REFERENCE_STEPS))) for seconds, _, _ in SIZES]
    size = next((i for i, n in enumerate(affordable) if n >= wanted), len(SIZES) - 1)
    _, widths, blocks = SIZES[size]
    return TrainSettings(
        steps=max(FEWEST_STEPS, min(wanted, affordable[size])),
        batch_size=64,
        widths=widths,
        blocks=blocks,
        ema_decay=0.998,
        validate_every=10**6,
        seed=seed,
    )
