// Keeps a log that grows at its last line, unless the reader has scrolled away from it.
(() => {
  const NEAR_END_PX = 40;
  const atEnd = new WeakMap();

  const isNearEnd = (log) => log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_END_PX;

  function settle() {
    for (const log of document.querySelectorAll(".log[role=log]")) {
      if (atEnd.get(log) ?? true) log.scrollTop = log.scrollHeight;
    }
  }

  document.addEventListener(
    "scroll",
    (event) => {
      if (event.target instanceof Element && event.target.matches(".log")) atEnd.set(event.target, isNearEnd(event.target));
    },
    true,
  );
  document.body.addEventListener("htmx:after:swap", settle);
  settle();
})();
