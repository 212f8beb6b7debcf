"""Fidelity: how far synthetic records look like real ones, each number beside what real data score against real data."""

from tardiff.evaluate.fidelity.run import measure_fidelity, value_distances
from tardiff.evaluate.fidelity.sample import RESAMPLES, Sample

__all__ = ["RESAMPLES", "Sample", "measure_fidelity", "value_distances"]
