"""Whether a window of predictions still looks like the frozen reference: arithmetic alone, no Django.

`reference` sums the reference up once, `statistics` holds the formulas, `judge` compares a window with it.
"""
