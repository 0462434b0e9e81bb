"""Markup as a test compares it: the formatter may lay a template out over any number of lines."""

import re


def flat(answer) -> str:
    """The page on one line: no white space beside a tag's ends, one space elsewhere."""
    text = answer if isinstance(answer, str) else answer.content.decode()
    return re.sub(r" ?(<|/?>) ?", r"\1", re.sub(r"\s+", " ", text)).strip()
