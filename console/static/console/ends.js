// Shows the newest first where it stands last: a log at its last line, the grid of runs at its right end.
// A log with a marked line begins with that in view. A reader who has scrolled away from there is left alone.
(() => {
  const NEAR_END_PX = 40;
  const wasAtEnd = new WeakMap();

  const isNearEnd = (box) =>
    box.matches(".log")
      ? box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_END_PX
      : box.scrollWidth - box.scrollLeft - box.clientWidth < NEAR_END_PX;

  function settle() {
    for (const box of document.querySelectorAll(".log[role=log], [data-ends-right]")) {
      if (!(wasAtEnd.get(box) ?? true)) continue;
      const marked = box.querySelector(".log-line[aria-current]");
      if (marked) box.scrollTop = marked.offsetTop - box.offsetTop - box.clientHeight / 3;
      else if (box.matches(".log")) box.scrollTop = box.scrollHeight;
      else box.scrollLeft = box.scrollWidth;
    }
  }

  function remember(event) {
    const box = event.target;
    if (box instanceof Element && box.matches(".log, [data-ends-right]")) wasAtEnd.set(box, isNearEnd(box));
  }

  document.addEventListener("scroll", remember, true);
  document.body.addEventListener("htmx:after:swap", settle);
  settle();
})();
