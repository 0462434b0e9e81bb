"""Watching recorded predictions for drift: whether a window of them still looks like the frozen reference.

The arithmetic is that of `scoring.drift`. `windows` cuts and judges what was recorded, `alarms` raises
alerts, the other modules hold rules, pages and REST.
"""
