"""One page that shows an evaluation: the verdict in words, then the figures behind it. It only draws."""

from tardiff.report.page import report

__all__ = ["report"]
