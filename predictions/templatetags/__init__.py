"""Template tags of predictions."""
