// Before the first paint: the chosen theme and the folded navigation. Small and blocking on purpose. Tells the
// server this browser's time zone, so that pages write times as the reader's clock does.
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  try {
    const theme = localStorage.getItem("theme");
    if (theme === "light" || theme === "dark") root.dataset.bsTheme = theme;
    if (localStorage.getItem("nav") === "folded") root.dataset.nav = "folded";
  } catch {
    // Storage may be forbidden; the page then follows the system.
  }
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `atalaya_zone=${zone}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
})();
