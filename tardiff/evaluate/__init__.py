"""What a synthetic data set is worth: utility, fidelity and privacy, each number with its interval.

The names below are imported when first asked for, so that what needs one light module is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tardiff.evaluate.run import evaluate, write
    from tardiff.evaluate.summary_lines import summary
    from tardiff.evaluate.text_table import table

_HOMES = {"evaluate": "run", "summary": "summary_lines", "table": "text_table", "write": "run"}
__all__ = ["evaluate", "summary", "table", "write"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tardiff.evaluate' has no attribute {name!r}")
    return getattr(import_module(f"tardiff.evaluate.{_HOMES[name]}"), name)
