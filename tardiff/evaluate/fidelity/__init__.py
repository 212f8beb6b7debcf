"""Fidelity: how far synthetic records look like real ones, each number beside what real data score against real data."""

from tardiff.evaluate.fidelity.compare import compare, fidelity
from tardiff.evaluate.fidelity.sample import RESAMPLES, Sample

__all__ = ["RESAMPLES", "Sample", "compare", "fidelity"]
