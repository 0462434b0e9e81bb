// One websocket for the page: it says what changed, and the fragments of the page fetch themselves again.
//
// <body data-live="runs run:7"> names the topics. Each change becomes an event on the body, "live:runs" or
// "live:run.7" (a dot for the colon), at most two a second for a topic; `detail` is the server's message.
// data-drawn-ms says when the server began to draw the page: what changed before the socket heard of the
// topic is fetched again.
(() => {
  const body = document.body;
  const topics = [...new Set(body.dataset.live.split(/\s+/).filter(Boolean))];
  const mark = document.querySelector("#live-mark");
  if (topics.length && mark) mark.hidden = false;
  if (document.querySelector("#health-dot")) topics.push("health");
  if (document.querySelector("#bell")) topics.push("alerts");
  if (!topics.length) return;

  const GAP_MS = 500; // between two events of one topic
  const FRAME_GAP_MS = 90; // between two frames, which carry all that is drawn
  const REFETCH_MS = 5000; // between two refetches because of missed messages
  const AWAY_MS = 2000; // before the page says that it is away
  const MOST_WAIT_MS = 30000;
  const CLOCKS_DIFFER_MS = 1000; // between the machines that drew the page and that answer the socket
  const STEADY_MS = 10000; // a connection that lived so long starts the waiting anew
  const SIGNED_OUT = 4401;
  const SIGN_IN_MS = 1500; // before the first try after that: another tab may have a new session by then
  const MOST_TRIES_SIGNED_OUT = 5; // a refused handshake and a lost network look alike
  const REFUSED = 4403;

  const drawnMs = Number(body.dataset.drawnMs) || Infinity;
  const lastSeq = new Map();
  const compared = new Set(); // topics whose last change was compared with when the page was drawn
  const waiting = new Map(); // topic: the message that the next event will carry
  const lastEvent = new Map();
  const timers = new Map();
  let failures = 0;
  let refetchedAt = 0;
  let refetchTimer = 0;
  let awayTimer = 0;
  let isAway = false;
  let hasEnded = false; // the session that the last socket had

  function announce(text) {
    const announcer = document.querySelector("#announcer");
    if (announcer) announcer.textContent = text || "";
  }

  function dispatch(topic) {
    timers.delete(topic);
    if (document.hidden) return; // kept in `waiting` until somebody looks
    const detail = waiting.get(topic);
    if (!detail) return;
    waiting.delete(topic);
    lastEvent.set(topic, performance.now());
    const name = `live:${topic.replaceAll(":", ".")}`;
    body.dispatchEvent(new CustomEvent(name, { detail }));
  }

  function schedule(topic, message) {
    const earlier = waiting.get(topic);
    const named = [earlier, message].filter(Boolean).map((one) => one.ids || []);
    const ids = named.some((one) => !one.length) ? [] : [...new Set(named.flat())]; // none named: any of them
    waiting.set(topic, { ...message, ids });
    if (timers.has(topic)) return;
    const since = performance.now() - (lastEvent.get(topic) ?? -GAP_MS);
    const gap = message.kind === "frame" ? FRAME_GAP_MS : GAP_MS;
    timers.set(topic, setTimeout(() => dispatch(topic), Math.max(0, gap - since)));
  }

  function refetchAll(kind) {
    if (refetchTimer) return;
    const rest = Math.max(0, REFETCH_MS - (performance.now() - refetchedAt));
    refetchTimer = setTimeout(
      () => {
        refetchTimer = 0;
        refetchedAt = performance.now();
        for (const topic of topics) schedule(topic, { topic, kind, ids: [] });
      },
      (refetchedAt ? rest : 0) + Math.random() * 1000,
    );
  }

  function catchUp({ topic, changed_ms: changedMs }) {
    if (compared.has(topic)) return;
    compared.add(topic);
    if (changedMs && changedMs > drawnMs - CLOCKS_DIFFER_MS) schedule(topic, { topic, kind: "missed", ids: [] });
  }

  function receive(message) {
    if (!message.topic) return;
    if (message.kind === "subscribed") catchUp(message);
    const last = lastSeq.get(message.topic);
    if (message.seq !== undefined) lastSeq.set(message.topic, message.seq);
    if (last !== undefined && message.seq !== undefined && message.seq !== last + 1) refetchAll("missed");
    if (message.kind === "changed" || message.kind === "frame") schedule(message.topic, message);
  }

  function setAway(away) {
    if (away === isAway) return;
    isAway = away;
    if (away) document.documentElement.dataset.socket = "away";
    else delete document.documentElement.dataset.socket;
    if (mark && !mark.hidden) announce(away ? mark.dataset.away : mark.dataset.back);
  }

  function backAgain() {
    clearTimeout(awayTimer);
    awayTimer = 0;
    lastSeq.clear();
    setAway(false);
    if (failures) refetchAll("back");
  }

  function connect() {
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/live`);
    let answeredAt = 0;
    socket.addEventListener("open", () => socket.send(JSON.stringify({ subscribe: topics })));
    socket.addEventListener("message", (event) => {
      if (!answeredAt) {
        answeredAt = performance.now(); // open is not enough: a server in trouble accepts and closes
        backAgain();
      }
      receive(JSON.parse(event.data));
    });
    socket.addEventListener("close", (event) => {
      awayTimer ||= setTimeout(() => setAway(true), AWAY_MS);
      if (event.code === REFUSED || (hasEnded && !answeredAt && failures >= MOST_TRIES_SIGNED_OUT)) return;
      const isSignedOut = event.code === SIGNED_OUT;
      hasEnded = isSignedOut || (hasEnded && !answeredAt);
      const wasSteady = answeredAt && performance.now() - answeredAt > STEADY_MS;
      failures = wasSteady || isSignedOut ? 1 : failures + 1;
      const most = Math.min(MOST_WAIT_MS, 500 * 2 ** Math.min(failures - 1, 10));
      setTimeout(connect, isSignedOut ? SIGN_IN_MS : most * (0.5 + Math.random() / 2));
    });
  }

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) for (const topic of waiting.keys()) dispatch(topic);
  });

  // A list that grows: while its top is out of sight, new rows wait behind "4 new".
  const held = new WeakMap();
  document.addEventListener("htmx:before:request", (event) => {
    const { sourceElement: list, sourceEvent } = event.detail.ctx;
    if (list.dataset.liveHold === undefined || !sourceEvent?.type?.startsWith("live:")) return;
    if (list.getBoundingClientRect().top > -40) return;
    event.preventDefault();
    const ids = held.get(list) || new Set();
    for (const id of sourceEvent.detail.ids) ids.add(id);
    held.set(list, ids);
    showNew(list, ids.size);
  });

  function showNew(list, n) {
    let bar = list.previousElementSibling?.matches(".new-rows") ? list.previousElementSibling : null;
    if (!bar) {
      bar = document.createElement("div");
      bar.className = "new-rows";
      const button = document.createElement("button");
      button.type = "button";
      button.className = "btn btn-primary btn-sm";
      button.addEventListener("click", () => {
        bar.remove();
        held.delete(list);
        list.scrollIntoView({ block: "start" });
        htmx.ajax("GET", list.getAttribute("hx-get"), { source: list });
      });
      bar.append(button);
      list.before(bar);
    }
    bar.firstElementChild.textContent = list.dataset.liveHold.replace("{n}", n || 1);
  }

  connect();
})();
