"""Code of the user's own: bases of models and algorithms, and how functions run it."""
