"""Watching recorded predictions for drift: whether a window of them still looks like the frozen reference.

Arithmetic alone, no Django: `reference` sums the reference up once, `statistics` holds the formulas, `judge`
compares a window with it, `shapes` is what they pass on. The rest is the console's: `windows` cuts and judges
what was recorded, `alarms` raises alerts, the other modules hold rules, pages and REST.
"""
