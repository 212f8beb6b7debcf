"""Colours that colour-blind readers can tell apart (Okabe & Ito, 2008)."""

CLASSES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
SETS = ("#E69F00", "#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
GREY = "#555555"
