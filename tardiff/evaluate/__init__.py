"""What a synthetic data set is worth: utility, fidelity and privacy, each number with its interval.

The names below are imported when first asked for, so that what needs one light module is quick.
"""

from typing import TYPE_CHECKING

from tardiff.base.lazy import lazy

if TYPE_CHECKING:
    from tardiff.evaluate.run import evaluate, write
    from tardiff.evaluate.summary_lines import summary
    from tardiff.evaluate.text_table import table

__getattr__ = lazy(
    __name__,
    {"evaluate": "run", "summary": "summary_lines", "table": "text_table", "write": "run"},
)
__all__ = ["evaluate", "summary", "table", "write"]
