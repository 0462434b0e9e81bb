"""Numbers, spans of time and moments as the pages write them. Plain text out; `ui` wraps it in HTML."""

import math
from collections.abc import Callable
from datetime import date, datetime, timedelta, tzinfo
from functools import lru_cache

from django.utils import formats, timezone
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _

THIN = "\u202f"  # between thousands: narrow, and no line breaks there
GAP = "\u00a0"  # between a number and its unit
MINUS = "\u2212"
NOTHING = "–"
SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")

# {n} is the number; the browser keeps the text fresh with the same words.
AGO_WORDS = {
    "now": gettext_lazy("just now"),
    "s": gettext_lazy("{n} s ago"),
    "min": gettext_lazy("{n} min ago"),
    "h": gettext_lazy("{n} h ago"),
    "d": gettext_lazy("{n} d ago"),
    "in_s": gettext_lazy("in {n} s"),
    "in_min": gettext_lazy("in {n} min"),
    "in_h": gettext_lazy("in {n} h"),
    "in_d": gettext_lazy("in {n} d"),
}


def localised(text: str) -> str:
    """A number as Python writes it, with the minus of print and the reader's sign for decimals."""
    return text.replace("-", MINUS, 1).replace(".", _separator(get_language()))


@lru_cache(maxsize=16)
def _separator(language: str | None) -> str:
    """Of decimals: looked up once, for pages that write thousands of numbers."""
    return str(formats.get_format("DECIMAL_SEPARATOR", language))


def whole(value: int) -> str:
    """12430 as "12 430"."""
    return f"{value:,}".replace(",", THIN).replace("-", MINUS)


def short_count(value: int) -> str:
    """Below a million exact, above it "1.2 M"."""
    if abs(value) < 10**6:
        return whole(value)
    millions = f"{value / 10**6:.1f}"
    if abs(float(millions)) < 1000:
        return f"{localised(millions)}{GAP}M"
    return localised(f"{value / 10**9:.1f}") + GAP + "G"


def binary_size(value: float) -> str:
    """Bytes as B, KiB, MiB, GiB or TiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        rounded = f"{value:z.0f}" if unit == "B" else f"{value:.1f}"
        if abs(float(rounded)) < 1024:
            return localised(rounded) + GAP + unit
        value /= 1024
    return localised(f"{value:.1f}") + GAP + "TiB"


def percent(share: float, decimals: int = 1) -> str:
    """0.1234 as "12.3 %"."""
    return localised(f"{share * 100:z.{decimals}f}") + GAP + "%"


def significant(value: float, digits: int = 4) -> str:
    """`digits` significant digits, trailing zeros kept; powers of ten for the very large and very small."""
    if isinstance(value, int) and abs(value) < 10**6:
        return whole(value)
    if not math.isfinite(value):
        return {math.inf: "∞", -math.inf: f"{MINUS}∞"}.get(value, "NaN")
    mantissa, _e, power = f"{value:.{digits - 1}e}".partition("e")
    exponent = int(power)
    if value and not -4 <= exponent < 7:
        return f"{localised(mantissa)}{GAP}×{GAP}10{str(exponent).translate(SUPERSCRIPTS)}"
    rounded = round(value, digits - 1 - exponent) if value else 0.0
    return localised(f"{rounded:,.{max(0, digits - 1 - exponent)}f}".replace(",", THIN))


def span(value: timedelta | float) -> str:
    """A duration: "340 ms", "4.2 s", "41 s", "2 m 14 s", "3 h 05 m", "2 d 4 h"."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if seconds < -0.0005:
        return MINUS + span(-seconds)
    if seconds < 0.9995:
        return f"{seconds * 1000:z.0f}{GAP}ms"
    if seconds < 9.95:
        return localised(f"{seconds:.1f}") + GAP + "s"
    total = round(seconds)
    if total < 60:
        return f"{total}{GAP}s"
    if total < 3600:
        return f"{total // 60}{GAP}m {total % 60:02d}{GAP}s".replace(" ", GAP)
    if total < 86400:
        return f"{total // 3600}{GAP}h {total % 3600 // 60:02d}{GAP}m".replace(" ", GAP)
    return f"{total // 86400}{GAP}d {total % 86400 // 3600}{GAP}h".replace(" ", GAP)


def relative(moment: datetime, now: datetime | None = None) -> str:
    """ "3 min ago", "in 14 h"; the date when that is a week or more away."""
    seconds = ((now or timezone.now()) - moment).total_seconds()
    away = abs(seconds)
    if away >= 7 * 86400:
        return _day(_local(moment, timezone.get_current_timezone()).date(), get_language())
    prefix = "in_" if seconds < 0 else ""
    if away < 10:
        return _ago_words("now", get_language())
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if away >= size:
            return _ago_words(prefix + unit, get_language()).replace("{n}", str(int(away // size)))
    return _ago_words("now", get_language())


@lru_cache(maxsize=64)
def _ago_words(unit: str, _language: str | None) -> str:
    return str(AGO_WORDS[unit])


def _local(moment: datetime, zone: tzinfo) -> datetime:
    """In the zone; as it is where that would be before the year 1 or after 9999."""
    try:
        return moment.astimezone(zone)
    except OverflowError:
        return moment


@lru_cache(maxsize=5000)  # a page with hundreds of times has few days, and Django takes long for each
def _day(day: date, _language: str | None) -> str:
    return formats.date_format(day, _("j M Y"))  # letters of Django's own; in Spanish months are small


def zone_name() -> str:
    """The zone in which times are shown and read, as "Europe/Madrid"."""
    return timezone.get_current_timezone_name()


def clock(moment: datetime) -> str:
    """Hour, minute and zone."""
    local = _local(moment, timezone.get_current_timezone())
    return f"{local:%H:%M} {local.tzname()}"


def absolute(moment: datetime) -> str:
    """Date, time to the second and zone."""
    return _absolute(moment, timezone.get_current_timezone(), get_language())


def absolutely() -> Callable[[datetime], str]:
    """The same for hundreds of moments on one page: the reader's zone and language are looked up once."""
    zone, language = timezone.get_current_timezone(), get_language()
    return lambda moment: _absolute(moment, zone, language)


@lru_cache(maxsize=20_000)  # a list of pipelines has hundreds of them, and is drawn again at every change
def _absolute(moment: datetime, zone: tzinfo, language: str | None) -> str:
    local = _local(moment, zone)
    return _("%(date)s, %(time)s %(zone)s") % {
        "date": _day(local.date(), language),
        "time": local.strftime("%H:%M:%S"),
        "zone": local.tzname(),
    }


def shortened(value: str, head: int = 4, tail: int = 4) -> str:
    """The middle left out of a long id."""
    return value if len(value) <= head + tail + 4 else f"{value[:head]}…{value[-tail:]}"
