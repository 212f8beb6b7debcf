"""What a synthetic data set is worth: utility, fidelity and privacy, each number with its interval."""

from tardiff.evaluate.run import evaluate, write
from tardiff.evaluate.summary import summary
from tardiff.evaluate.table import table

__all__ = ["evaluate", "summary", "table", "write"]
