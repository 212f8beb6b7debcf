"""Fidelity: how far synthetic records look like real ones, each number beside what real data score against real data."""

from tardiff.evaluate.fidelity.distance import Distances
from tardiff.evaluate.fidelity.run import FLOOR, draw_samples, fidelity, record_distances, value_distances
from tardiff.evaluate.fidelity.sample import RESAMPLES, Sample

__all__ = ["FLOOR", "RESAMPLES", "Distances", "Sample", "draw_samples", "fidelity", "record_distances", "value_distances"]
