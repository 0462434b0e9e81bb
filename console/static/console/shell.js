// The page shell: times, copying, menus, dialogs, toasts, forms that cannot be sent twice, htmx's errors.
(() => {
  const root = document.documentElement;
  const find = (selector, from = document) => from.querySelector(selector);
  const findAll = (selector, from = document) => [...from.querySelectorAll(selector)];

  // --- relative times, kept fresh
  const words = JSON.parse(root.dataset.ago || "{}");
  const steps = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

  function relative(moment) {
    const seconds = (Date.now() - moment) / 1000;
    const away = Math.abs(seconds);
    if (away >= 7 * 86400) return null;
    if (away < 10) return words.now;
    const [size, unit] = steps.find(([limit]) => away >= limit);
    return words[(seconds < 0 ? "in_" : "") + unit].replace("{n}", Math.floor(away / size));
  }

  function refreshTimes() {
    if (!words.now || document.hidden) return;
    for (const time of findAll("time[data-ago]")) {
      const text = relative(Date.parse(time.dateTime));
      if (text && time.textContent !== text) time.textContent = text;
    }
  }
  setInterval(refreshTimes, 10000);
  document.addEventListener("visibilitychange", refreshTimes);

  // --- what is said to those who cannot see it
  function announce(text) {
    const announcer = find("#announcer");
    if (announcer) announcer.textContent = text;
  }

  // --- settings kept in this browser
  function remember(key, value) {
    try {
      if (value) localStorage.setItem(key, value);
      else localStorage.removeItem(key);
    } catch {
      // Storage may be forbidden; the choice then lasts as long as the page.
    }
  }

  function showTheme() {
    for (const button of findAll("[data-theme-set]"))
      button.setAttribute("aria-pressed", String(button.dataset.themeSet === (root.dataset.bsTheme || "")));
  }

  function setTheme(theme) {
    if (theme) root.dataset.bsTheme = theme;
    else delete root.dataset.bsTheme;
    remember("theme", theme);
    showTheme();
  }

  function toggleFold() {
    const folded = root.dataset.nav !== "folded";
    if (folded) root.dataset.nav = "folded";
    else delete root.dataset.nav;
    remember("nav", folded ? "folded" : "");
  }

  function setDrawer(open) {
    const opener = find("[data-drawer-open]");
    const wasOpen = document.body.dataset.drawer === "open";
    if (open) document.body.dataset.drawer = "open";
    else delete document.body.dataset.drawer;
    opener?.setAttribute("aria-expanded", String(open));
    if (open) find(".side a")?.focus();
    else if (wasOpen) opener?.focus();
  }

  // --- copying
  async function copy(button) {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.classList.add("is-copied");
    announce(button.dataset.copied || "✓");
    setTimeout(() => button.classList.remove("is-copied"), 1200);
  }

  // --- dialogs
  function openDialog(id) {
    const dialog = document.getElementById(id);
    if (!dialog || dialog.open) return;
    dialog.showModal();
    find("[autofocus], input:not([type=hidden]), textarea", dialog)?.focus();
  }

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const menu = find("details[data-menu][open]");
    if (menu) {
      menu.open = false;
      find("summary", menu).focus();
    }
    if (document.body.dataset.drawer) setDrawer(false);
  });

  // --- toasts
  const SECONDS_SHOWN = 6;

  function expireLater(toast) {
    if (!toast.matches(".toast-ok, .toast-run")) return;
    let timer = setTimeout(() => toast.remove(), SECONDS_SHOWN * 1000);
    toast.addEventListener("pointerenter", () => clearTimeout(timer));
    toast.addEventListener("pointerleave", () => (timer = setTimeout(() => toast.remove(), 2000)));
  }

  const KINDS = { success: "ok", error: "bad", warning: "wait", info: "run" };
  const ICONS = { success: "check", error: "alert", warning: "alert", info: "info" };

  function toast(level, message) {
    const template = find("#toast-template");
    if (!template) return;
    const item = template.content.firstElementChild.cloneNode(true);
    item.className = `toast-item toast-${KINDS[level] || "run"}`;
    const use = find("use", item);
    use.setAttribute("href", use.getAttribute("href").replace(/#.*/, `#${ICONS[level] || "info"}`));
    find("[data-toast-text]", item).textContent = message;
    find("#toasts").append(item);
    expireLater(item);
  }
  document.addEventListener("toast", (event) => toast(event.detail.level, event.detail.message ?? event.detail.value));

  // --- clicks, all in one place
  document.addEventListener("click", (event) => {
    const hit = (selector) => event.target.closest?.(selector);
    for (const menu of findAll("details[data-menu][open]")) if (!menu.contains(event.target)) menu.open = false;
    let found;
    if ((found = hit("[data-copy]"))) copy(found);
    else if ((found = hit("[data-theme-set]"))) setTheme(found.dataset.themeSet);
    else if (hit("[data-fold]")) toggleFold();
    else if (hit("[data-drawer-open]")) setDrawer(true);
    else if (hit("[data-drawer-close]")) setDrawer(false);
    else if ((found = hit("[data-toast-close]"))) found.closest("[data-toast], .notice").remove();
    else if ((found = hit("[data-dialog-open]"))) openDialog(found.dataset.dialogOpen);
    else if ((found = hit("[data-check-all]"))) checkAll(found.dataset.checkAll);
    else if ((found = hit("[data-dialog-close]"))) found.closest("dialog").close();
    else if ((found = hit("[data-retry]"))) retry(found);
    else if (event.target.matches?.("dialog[open]")) event.target.close();
    else if ((found = hit("tr[data-href]")) && !hit("a, button, input, label, select")) follow(event, found.dataset.href);
  });

  // All on the page, or none where all are.
  function checkAll(name) {
    const boxes = findAll(`input[type=checkbox][name="${name}"]:not(:disabled)`);
    const isOn = !boxes.every((box) => box.checked);
    for (const box of boxes) box.checked = isOn;
  }

  function follow(event, url) {
    if (String(getSelection())) return;
    if (event.ctrlKey || event.metaKey) window.open(url, "_blank", "noopener");
    else location.assign(url);
  }

  // --- forms: one press, one request; nothing typed is lost without a word
  function setBusy(form, isBusy, submitter) {
    for (const button of findAll("button:not([type=button]), input[type=submit]", form)) {
      if (isBusy) button.setAttribute("aria-disabled", "true");
      else button.removeAttribute("aria-disabled");
      if (isBusy && button === submitter) button.setAttribute("aria-busy", "true");
      else button.removeAttribute("aria-busy");
    }
    if (isBusy) form.dataset.busy = "";
    else delete form.dataset.busy;
  }

  const isHtmx = (form) => ["hx-get", "hx-post", "hx-put", "hx-patch", "hx-delete"].some((name) => form.hasAttribute(name));

  document.addEventListener(
    "submit",
    (event) => {
      const form = event.target;
      if (form.dataset.busy !== undefined) {
        event.preventDefault();
        event.stopImmediatePropagation();
        return;
      }
      delete form.dataset.dirty;
      if (form.method === "dialog" || form.dataset.download !== undefined) return;
      const submitter = event.submitter || find("button:not([type=button])", form);
      // After the browser has read the form, so that a named button still counts.
      setTimeout(() => {
        if (!event.defaultPrevented || isHtmx(form)) setBusy(form, true, submitter);
      });
    },
    true,
  );
  addEventListener("pageshow", (event) => {
    if (event.persisted) for (const form of findAll("form[data-busy]")) setBusy(form, false);
  });

  document.addEventListener("input", (event) => {
    const form = event.target.form;
    if (form?.dataset.guard !== undefined) form.dataset.dirty = "";
    const input = event.target.closest("[data-must-equal]");
    if (input) checkTyped(input);
  });
  addEventListener("beforeunload", (event) => {
    if (find("form[data-dirty]")) event.preventDefault();
  });

  function checkTyped(input) {
    for (const button of findAll("button:not([type=button])", input.form))
      button.disabled = input.value !== input.dataset.mustEqual;
  }

  // --- what htmx brings: errors beside what was typed, never in its place
  const isLive = (ctx) => /^(live|every|frame)/.test(ctx.sourceEvent?.type || "");

  document.addEventListener("htmx:before:response", (event) => {
    const { ctx } = event.detail;
    const { raw } = ctx.response;
    // A redirect was followed to a whole page (a sign-in, the page after an action): go there.
    if (raw.redirected) {
      event.preventDefault();
      location.assign(raw.url);
    }
  });

  document.addEventListener("htmx:response:error", (event) => {
    const { ctx } = event.detail;
    if (ctx.response.status === 422 && ctx.request.method !== "GET") return;
    if (isLive(ctx)) {
      ctx.swap = "none"; // what is shown stays; the next event tries again
    } else if (ctx.request.method === "GET") {
      ctx.swap = "innerHTML";
    } else {
      ctx.target = find("#toasts");
      ctx.swap = "beforeend";
    }
  });

  document.addEventListener("htmx:error", (event) => {
    const { ctx } = event.detail;
    if (!ctx || ctx.response || isLive(ctx)) return;
    toast("error", find("#announcer")?.dataset.noAnswer || "");
  });

  document.addEventListener("htmx:before:request", (event) => {
    const { sourceElement } = event.detail.ctx;
    sourceElement.setAttribute("aria-busy", "true");
  });

  document.addEventListener("htmx:finally:request", (event) => {
    const { sourceElement, submitter, request } = event.detail.ctx;
    sourceElement?.removeAttribute("aria-busy");
    const form = request?.form || submitter?.form;
    if (form?.isConnected) setBusy(form, false);
  });

  function retry(button) {
    const box = button.closest("[hx-get]");
    if (box) htmx.ajax("GET", box.getAttribute("hx-get"), { source: box });
    else location.reload();
  }

  // What scrolls can be reached with the keyboard; a table that needs no scrolling keeps its header in sight.
  function fitBoxes(scope) {
    for (const box of findAll(".table-wrap, .table-scroll, .code, .log, .chain", scope)) {
      box.classList.remove("fits");
      const scrolls = box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight;
      box.classList.toggle("fits", !scrolls);
      if (scrolls) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  }
  addEventListener("resize", () => requestAnimationFrame(() => fitBoxes(document)));

  function settle(scope) {
    refreshTimes();
    for (const item of findAll("[data-toast]", scope)) expireLater(item);
    for (const input of findAll("[data-must-equal]", scope)) checkTyped(input);
    for (const link of findAll("#main .tab[aria-current]", scope)) link.scrollIntoView({ block: "nearest", inline: "center" });
    fitBoxes(scope);
    find("[data-error-summary]", scope)?.focus();
  }
  document.addEventListener("htmx:after:settle", (event) => settle(event.target));

  showTheme();
  settle(document);
})();
