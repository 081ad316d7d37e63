// Keeps the page up to date: hears of changes, fetches the part that changes, and replaces what is different in it.
"use strict";
(() => {
  const main = document.getElementById("live");
  const connection = document.getElementById("connection");
  // What it says is in the language of the page.
  const words = connection.dataset;
  const relative = new Intl.RelativeTimeFormat(document.documentElement.lang, { numeric: "auto" });
  // What the server sent last for each part, by its id: what the page did to it since (ticking times, open details) is no difference.
  const sent = new Map();
  let asked = 0, shown = 0, isBusy = false;

  function tick() {
    document.title = document.getElementById("summary")?.dataset.title ?? "dv-verify";
    for (const time of main.querySelectorAll("time:not([data-kind])")) {
      const moment = Date.parse(time.dateTime);
      const seconds = Math.round((moment - Date.now()) / 1000);
      const steps = [["second", 60], ["minute", 60], ["hour", 24], ["day", Infinity]];
      let value = seconds, unit = "second";
      for (const [name, size] of steps) {
        unit = name;
        if (Math.abs(value) < size) break;
        value = Math.round(value / size);
      }
      const text = relative.format(value, unit);
      if (time.textContent !== text) time.textContent = text;
      time.title = new Date(moment).toLocaleString();
    }
  }

  function remember(root) {
    sent.clear();
    for (const part of root.querySelectorAll("#live > [id], .orders > [id]")) sent.set(part.id, part.outerHTML);
  }

  // Puts the children of `fresh` into `old`, in their order, and keeps those that are as they were.
  function place(old, fresh) {
    let next = old.firstElementChild;
    for (const child of [...fresh.children]) {
      const known = child.id ? old.querySelector(`:scope > [id="${CSS.escape(child.id)}"]`) : null;
      let put = child;
      if (known && sent.get(child.id) === child.outerHTML) {
        put = known;
      } else if (known && child.id === "orders" && known.querySelector(".orders") && child.querySelector(".orders")) {
        place(known.querySelector(".orders"), child.querySelector(".orders"));
        for (const extra of known.querySelectorAll(":scope > .nothing")) extra.remove();
        for (const extra of child.querySelectorAll(":scope > .nothing")) known.append(extra);
        put = known;
      } else if (known) {
        for (const details of known.querySelectorAll("details[id]")) {
          const twin = child.querySelector(`[id="${CSS.escape(details.id)}"]`);
          if (twin) twin.open = details.open;
        }
        if (next === known) next = known.nextElementSibling;
        known.remove();
      }
      if (put === next) next = next.nextElementSibling;
      else old.insertBefore(put, next);
    }
    while (next) {
      const gone = next;
      next = next.nextElementSibling;
      gone.remove();
    }
  }

  async function refresh() {
    if (isBusy) return;
    isBusy = true;
    try {
      while (shown < asked) {
        const target = asked;
        const reply = await fetch("/live", { cache: "no-store" });
        if (!reply.ok) throw new Error(`HTTP ${reply.status}`);
        const fresh = new DOMParser().parseFromString(`<main id="live">${await reply.text()}</main>`, "text/html");
        const parts = [...fresh.querySelectorAll("#live > [id], .orders > [id]")].map((part) => [part.id, part.outerHTML]);
        place(main, fresh.getElementById("live"));
        sent.clear();
        for (const [id, html] of parts) sent.set(id, html);
        shown = target;
        tick();
      }
    } catch (error) {
      say("off", `${words.stale}: ${error.message}`);
      asked = shown;
    } finally {
      isBusy = false;
    }
  }

  function say(how, text) {
    connection.className = `connection ${how}`;
    if (connection.textContent !== text) connection.textContent = text;
  }

  function listen() {
    const events = new EventSource("/events");
    events.onopen = () => { say("on", words.live); asked += 1; refresh(); };
    events.onmessage = () => { asked += 1; refresh(); };
    events.onerror = () => {
      // The browser tries again by itself, unless the server said no: then the page looks now and then.
      if (events.readyState !== EventSource.CLOSED) return say("off", words.lost);
      say("off", words.slow);
      setTimeout(() => { asked += 1; refresh(); listen(); }, 15000);
    };
  }

  remember(document);
  tick();
  setInterval(tick, 5000);
  listen();
})();
