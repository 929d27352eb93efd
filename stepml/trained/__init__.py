"""The parts of a trained model: its input, its scores, and scikit-learn's protocol."""
