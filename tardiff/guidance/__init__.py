"""Guides: what steers the sampler, how one is built from settings, and the log of what it did."""
