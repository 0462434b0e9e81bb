// Drawings of a pipeline: what a square of the grid stands for, and a graph that zooms and is dragged.
(() => {
  // --- the grid
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  tip.setAttribute("aria-hidden", "true");
  document.body.append(tip);

  function line(text, name = "div") {
    const item = document.createElement(name);
    item.textContent = text;
    return item;
  }

  // The row under the pointer and the column's facts: "state:seconds:state=n,…", one a row.
  function describe(grid, column, clientY) {
    const box = grid.getBoundingClientRect();
    const y = (clientY - box.top) * (grid.viewBox.baseVal.height / box.height) - Number(grid.dataset.top);
    const row = Math.floor(y / Number(grid.dataset.pitch));
    const labels = grid.querySelectorAll("[data-row]");
    if (row < 0 || row >= labels.length) return [];
    const states = grid.dataset.states.split("|");
    const [state, seconds, several] = column.dataset.facts.split("|")[row].split(":");
    const told = [line(labels[row].dataset.row, "b"), line(column.getAttribute("aria-label"))];
    told.push(line([states[state || 0], seconds ? numbers.span(Number(seconds)) : ""].filter(Boolean).join(" · ")));
    if (several) told.push(line(several.split(",").map((one) => `${numbers.whole(Number(one.split("=")[1]))} × ${states[one.split("=")[0]]}`).join(", ")));
    return told;
  }

  document.addEventListener("pointermove", (event) => {
    const column = event.target.closest?.("[data-facts]");
    const told = column ? describe(column.closest("[data-grid]"), column, event.clientY) : [];
    tip.hidden = !told.length;
    if (!told.length) return;
    tip.replaceChildren(...told);
    const isRight = event.clientX > innerWidth - 340;
    tip.style.left = isRight ? "" : `${event.clientX + 14}px`;
    tip.style.right = isRight ? `${innerWidth - event.clientX + 14}px` : "";
    tip.style.top = `${Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8)}px`;
  });

  // --- the graph: as wide as it is drawn, or as its box; kept while the page changes live
  const STEP = 1.25;
  const LEAST = 0.3;
  const MOST = 2.5;
  let zoom = 0;

  const sizeOf = (graph) => graph.viewBox.baseVal;
  const fits = (graph) => Math.min(1, (graph.parentElement.clientWidth - 32) / sizeOf(graph).width);

  function show(graph, wanted) {
    zoom = Math.min(MOST, Math.max(LEAST, wanted));
    graph.setAttribute("width", sizeOf(graph).width * zoom);
    graph.setAttribute("height", sizeOf(graph).height * zoom);
  }

  function button(text, words, action) {
    const item = line(text, "button");
    item.type = "button";
    item.className = "btn btn-sm";
    item.title = words;
    item.setAttribute("aria-label", words);
    item.addEventListener("click", action);
    return item;
  }

  function equip(graph) {
    const box = graph.parentElement;
    if (!box.querySelector(".graph-tools")) {
      const tools = document.createElement("div");
      tools.className = "graph-tools";
      const now = () => box.querySelector("[data-graph]");
      tools.append(
        button("−", graph.dataset.zoomOut, () => show(now(), zoom / STEP)),
        button("+", graph.dataset.zoomIn, () => show(now(), zoom * STEP)),
        button("↔", graph.dataset.zoomFit, () => show(now(), fits(now()))),
      );
      graph.before(tools);
      box.addEventListener("pointerdown", (event) => drag(box, event));
      box.addEventListener("wheel", (event) => wheel(now(), event), { passive: false });
    }
    show(graph, zoom || Math.max(fits(graph), 0.6));
  }

  function wheel(graph, event) {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    show(graph, event.deltaY < 0 ? zoom * STEP : zoom / STEP);
  }

  function drag(box, start) {
    if (start.button !== 0 || start.pointerType === "touch" || start.target.closest("a, button")) return;
    const from = [box.scrollLeft, box.scrollTop];
    const move = (event) => {
      box.scrollLeft = from[0] - (event.clientX - start.clientX);
      box.scrollTop = from[1] - (event.clientY - start.clientY);
    };
    const stop = () => {
      box.classList.remove("is-panning");
      removeEventListener("pointermove", move);
    };
    box.classList.add("is-panning");
    addEventListener("pointermove", move);
    addEventListener("pointerup", stop, { once: true });
  }

  function settle() {
    for (const graph of document.querySelectorAll("[data-graph]")) equip(graph);
  }
  document.body.addEventListener("htmx:after:settle", settle);
  settle();
})();
