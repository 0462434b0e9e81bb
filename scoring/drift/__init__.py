"""Whether rows still look like the frozen reference: arithmetic alone.

`reference` sums the reference up once, `statistics` holds the formulas, `judge` compares a window of rows
with it, `shapes` is what they pass on. The console judges recorded predictions by it, pipelines new batches.
"""
