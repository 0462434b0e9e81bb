// The overview's line of predictions a second, drawn from the frames of their stream.
(() => {
  const WIDTH = 300;
  const HEIGHT = 48;
  const number = numbers.written({ maximumFractionDigits: 1 });
  document.body.addEventListener("live:streams.predictions", ({ detail }) => {
    const line = document.querySelector('[data-line="predictions"]');
    if (!line || detail.kind !== "frame") return;
    const counts = detail.state.rates.n;
    const most = Math.max(1, ...counts);
    const step = WIDTH / Math.max(1, counts.length - 1);
    const points = counts.map((n, at) => `${(at * step).toFixed(1)},${(HEIGHT - 2 - ((HEIGHT - 6) * n) / most).toFixed(1)}`);
    line.setAttribute("points", points.join(" "));
    document.querySelector("[data-line-rate]").textContent = number(detail.state.rate);
  });
})();
