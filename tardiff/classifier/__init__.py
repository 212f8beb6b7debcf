"""The clinical model that synthetic data serve: networks, training, its folder, and the influence of a row on its loss."""
