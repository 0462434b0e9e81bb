"""Which changes of assets start a pipeline, as a reader would say it. No database."""

from typing import Any

from django.utils.translation import gettext as _


def in_words(expression: Any) -> str:
    """Of Airflow's `asset_expression`: names joined by "and" and "or"; empty for what cannot be read.

    The outermost needs no brackets.
    """
    return _said(expression, is_inner=False)


def _said(expression: Any, *, is_inner: bool) -> str:
    if not isinstance(expression, dict):
        return ""
    for key, word in (("all", _("and")), ("any", _("or"))):
        if isinstance(expression.get(key), list):
            parts = [words for one in expression[key] if (words := _said(one, is_inner=True))]
            joined = f" {word} ".join(parts)
            return f"({joined})" if is_inner and len(parts) > 1 else joined
    for kind in ("asset", "alias", "asset_ref"):
        if isinstance(expression.get(kind), dict):
            named = expression[kind]
            return str(named.get("name") or named.get("uri") or "")
    return ""
