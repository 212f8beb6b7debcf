"""Dataset folders, what can be said of their rows, and the codec between physical units and model space."""
