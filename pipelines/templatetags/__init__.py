"""Template tags of pipelines."""
