"""One sampling job: what is asked for, what steers it, the samples, and what guidance did to them."""

from tardiff.synthesis.run import synthesise

__all__ = ["synthesise"]
