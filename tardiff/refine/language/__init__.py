"""Rows by a language model (GReaT, arXiv 2210.06280; P-TA, arXiv 2406.11391): text that is always a row, trained, refined and sampled."""
