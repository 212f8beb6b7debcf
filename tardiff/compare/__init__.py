"""Ways of training on imbalanced rows, compared on the user's own data."""
