// Numbers and durations as the pages write them (core/lib/templatetags/numbers.py), for scripts that renew them.
window.numbers = (() => {
  const THIN = "\u202f"; // between thousands: narrow, and no line breaks there
  const GAP = "\u00a0"; // between a number and its unit
  const OURS = { group: THIN, minusSign: "\u2212" };

  // options: those of Intl.NumberFormat. Marks of decimals are the language's, all else is the same in each.
  function written(options) {
    const format = new Intl.NumberFormat(document.documentElement.lang, { useGrouping: "always", ...options });
    return (value) => format.formatToParts(value).map((part) => OURS[part.type] ?? part.value).join("");
  }
  const whole = written({ maximumFractionDigits: 0 });
  const tenths = written({ useGrouping: false, minimumFractionDigits: 1, maximumFractionDigits: 1 });

  // Below a million exact, above it "1.2 M".
  function count(value) {
    if (Math.abs(value) >= 1e9) return `${tenths(value / 1e9)}${GAP}G`;
    if (Math.abs(value) >= 1e6) return `${tenths(value / 1e6)}${GAP}M`;
    return whole(value);
  }

  // "340 ms", "4.2 s", "41 s", "2 m 14 s", "3 h 05 m", "2 d 4 h"
  function span(seconds) {
    const pair = (large, unit, small, under, width) =>
      `${large}${GAP}${unit}${GAP}${String(small).padStart(width, "0")}${GAP}${under}`;
    if (seconds < 0.9995) return `${Math.round(seconds * 1000)}${GAP}ms`;
    if (seconds < 9.95) return `${tenths(seconds)}${GAP}s`;
    const total = Math.round(seconds);
    if (total < 60) return `${total}${GAP}s`;
    if (total < 3600) return pair(Math.floor(total / 60), "m", total % 60, "s", 2);
    if (total < 86400) return pair(Math.floor(total / 3600), "h", Math.floor((total % 3600) / 60), "m", 2);
    return pair(Math.floor(total / 86400), "d", Math.floor((total % 86400) / 3600), "h", 1);
  }

  return { written, whole, count, span };
})();
