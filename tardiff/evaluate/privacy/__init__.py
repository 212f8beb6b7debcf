"""Privacy: what synthetic rows, a generator and a guide's classifier give away about the patients they learnt from."""

from tardiff.evaluate.privacy.run import privacy

__all__ = ["privacy"]
