"""Watching recorded predictions for drift: windows, rules, pages. Its arithmetic is `predictions.drift`."""
