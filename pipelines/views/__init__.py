"""Pages of pipelines and runs, and the fragments that keep them fresh."""
