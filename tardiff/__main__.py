"""`python -m tardiff` is `tardiff`."""

from tardiff.cli import main

main()
