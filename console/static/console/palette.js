// The search palette: "/" or Ctrl-K opens it, arrows choose, Enter goes. Without scripts its button is a link.
(() => {
  const palette = document.querySelector("#palette");
  if (!palette) return;
  const input = palette.querySelector("#palette-q");
  const results = palette.querySelector("#palette-results");

  function open() {
    if (palette.open) return;
    palette.showModal();
    input.select();
    input.dispatchEvent(new CustomEvent("palette-open"));
  }

  function choose(step) {
    const hits = [...results.querySelectorAll("a[role=option]")];
    if (!hits.length) return input.removeAttribute("aria-activedescendant");
    const now = hits.findIndex((hit) => hit.getAttribute("aria-selected") === "true");
    const next = hits[(now + step + hits.length) % hits.length];
    for (const hit of hits) hit.setAttribute("aria-selected", String(hit === next));
    input.setAttribute("aria-activedescendant", next.id);
    next.scrollIntoView({ block: "nearest" });
  }

  const keys = {
    ArrowDown: () => choose(1),
    ArrowUp: () => choose(-1),
    Enter: () => results.querySelector("[aria-selected=true]")?.click(),
    Escape: () => palette.close(), // a search field would first only empty itself
  };
  input.addEventListener("keydown", (event) => {
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });

  const isTyping = (element) => element.closest?.("input, textarea, select, [contenteditable]") != null;

  document.addEventListener("keydown", (event) => {
    if (event.altKey || document.querySelector("dialog[open]")) return;
    const isSlash = event.key === "/" && !isTyping(event.target);
    const isControlK = event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey);
    if (!isSlash && !isControlK) return;
    event.preventDefault();
    open();
  });

  document.addEventListener("click", (event) => {
    if (!event.target.closest?.("[data-palette-open]") || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    open();
  });

  results.addEventListener("htmx:after:settle", () => choose(1));
})();
