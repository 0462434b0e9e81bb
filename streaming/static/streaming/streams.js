// The live page of a stream: each frame carries its full state, so drawing is only ever "what the last one said".
(() => {
  const root = document.querySelector("#stream-live");
  if (!root || !window.uPlot) return;
  // Okabe–Ito, told apart by people who see colours otherwise; the last is for "others".
  const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#8a8f98"];
  const DASHES = [[], [6, 3], [2, 2], [8, 3, 2, 3], [1, 3], [4, 4]];
  // Between two ticks: closer together than uPlot's own, which leave a narrow chart of four minutes without any.
  const SECONDS = [1, 2, 5, 10, 20, 30, ...[1, 2, 5, 10, 20, 30, 60, 120, 240, 480, 1440, 2880, 10_080, 43_200, 525_600].map((minutes) => 60 * minutes)];
  const charts = new Map(); // name: {plot, key}
  const number = numbers.written({ maximumSignificantDigits: 4 });
  const short = new Intl.NumberFormat(document.documentElement.lang, { notation: "compact", maximumSignificantDigits: 4 }); // ticks have little room
  const timeZone = document.documentElement.dataset.zone;
  const clock = new Intl.DateTimeFormat(document.documentElement.lang, { timeStyle: "medium", hourCycle: "h23", timeZone });
  const moment = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "long", hourCycle: "h23", timeZone });
  const cursor = uPlot.sync("stream");
  let state = JSON.parse(document.querySelector("#stream-state").textContent);

  // A canvas knows neither variables nor light-dark(): the colours are read from what wears them already.
  const ofText = () => getComputedStyle(root.querySelector("dt")).color;
  const ofLines = () => getComputedStyle(root.querySelector(".card")).borderTopColor;

  // A small triangle on the time axis for each window that holds an anomaly; the table says the rest.
  function drawMarks(plot) {
    const times = [...root.querySelectorAll("[data-event-at]")].map((row) => Number(row.dataset.eventAt));
    const windowS = Number(root.dataset.windowS);
    const starts = new Set(times.map((at) => Math.floor(at / windowS) * windowS));
    const { ctx, bbox } = plot;
    const size = 7 * devicePixelRatio;
    ctx.save();
    ctx.fillStyle = COLOURS[1];
    for (const start of starts) {
      if (start < plot.scales.x.min || start > plot.scales.x.max) continue;
      const x = plot.valToPos(start, "x", true);
      const y = bbox.top + bbox.height;
      ctx.beginPath();
      ctx.moveTo(x, y - size);
      ctx.lineTo(x - size / 2, y);
      ctx.lineTo(x + size / 2, y);
      ctx.fill();
    }
    ctx.restore();
  }

  function options(box, labels, isSynced) {
    const axis = { stroke: ofText(), grid: { stroke: ofLines(), width: 1 }, ticks: { show: false }, font: "12px Inter, system-ui, sans-serif" };
    const unit = box.dataset.unit;
    return {
      width: Math.max(200, box.clientWidth - 2 * 16),
      height: 190,
      cursor: isSynced ? { sync: { key: cursor.key } } : {},
      hooks: isSynced ? { draw: [drawMarks] } : {},
      scales: { y: { range: (_, low, high) => [Math.min(0, low ?? 0), high > 0 ? high * 1.08 : 1] } },
      // Where no tick lies between both ends, uPlot has one behind the last.
      axes: [{ ...axis, space: 80, incrs: SECONDS, values: (plot, ticks) => ticks.map((tick) => (tick > plot.scales.x.max ? "" : clock.format(tick * 1000))) }, { ...axis, size: 64, values: (_, ticks) => ticks.map((tick) => short.format(tick) + (unit ? ` ${unit}` : "")) }],
      series: [
        { label: root.dataset.time, value: (_, at) => (at ? clock.format(at * 1000) : "–") },
        ...labels.map((label, index) => ({
          label,
          stroke: COLOURS[index],
          dash: DASHES[index],
          width: 2,
          points: { show: labels.length && state.starts.length < 3 && isSynced, size: 6 },
          value: (_, value) => (value === null || value === undefined ? "–" : number(value)),
        })),
      ],
    };
  }

  function draw(name, labels, data, isSynced) {
    const box = root.querySelector(`[data-chart="${CSS.escape(name)}"]`);
    if (!box) return;
    const key = JSON.stringify([labels, data[0].length < 3, document.documentElement.dataset.theme]);
    const known = charts.get(name);
    if (known && known.key === key) {
      known.plot.setData(data);
      return;
    }
    known?.plot.destroy();
    charts.set(name, { key, plot: new uPlot(options(box, labels, isSynced), data, box) });
  }

  function drawAll() {
    const { starts, groups, values } = state;
    const names = groups.map((group) => group || root.dataset.all);
    for (const [name, columns] of Object.entries(values)) {
      const labels = columns.length > names.length ? [...names, root.dataset.others] : names;
      draw(name, labels, [starts, ...columns], true);
    }
    if (state.rates) draw("rate", [root.dataset.rate], [state.rates.at, state.rates.n], false);
    if (starts.length) root.querySelector("#stream-empty")?.remove();
    writeCount("#figure-total", state.total);
    if (state.rate !== undefined) write("#figure-rate", number(state.rate));
    if (state.renewed_at) showRenewed(state.renewed_at);
    if (state.lag !== undefined) writeCount("#figure-lag", state.lag);
  }

  function write(selector, text) {
    const place = root.querySelector(selector);
    if (place.textContent !== text) place.textContent = text;
  }

  // A large one is short, with the exact one in the tooltip.
  function writeCount(selector, n) {
    const [text, exact] = [numbers.count(n), numbers.whole(n)];
    write(selector, text);
    root.querySelector(selector).title = text === exact ? "" : exact;
  }

  function showRenewed(at) {
    const notice = root.querySelector("#stream-renewed");
    notice.hidden = false;
    notice.querySelector("time").textContent = moment.format(new Date(at));
  }

  let isWaiting = false;
  function drawSoon() {
    if (isWaiting) return;
    isWaiting = true;
    requestAnimationFrame(() => {
      isWaiting = false;
      drawAll();
    });
  }

  document.body.addEventListener(`live:streams.${root.dataset.stream}`, async ({ detail }) => {
    if (detail.kind === "frame") {
      state = detail.state;
      drawSoon();
      return;
    }
    const answer = await fetch(root.dataset.stateUrl); // frames were missed: the rows know the rest
    if (answer.ok) {
      state = { ...state, ...(await answer.json()) };
      drawSoon();
    }
  });

  function redraw() {
    for (const { plot } of charts.values()) plot.destroy();
    charts.clear();
    drawSoon();
  }
  const anomalies = root.querySelector("#anomalies");
  if (anomalies) new MutationObserver(drawSoon).observe(anomalies, { childList: true, subtree: true });
  let width = root.clientWidth;
  new ResizeObserver(() => {
    if (root.clientWidth !== width) {
      width = root.clientWidth;
      redraw();
    }
  }).observe(root);
  new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme", "data-bs-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  drawAll();
})();
