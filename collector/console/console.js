// Makes pages that work without it live: problems are shown where the form is, news is announced without moving what is read.
"use strict";

const quiet = { "X-Watchpost-Quiet": "1" };
const parsed = async (answer) => new DOMParser().parseFromString(await answer.text(), "text/html");

// A form is sent in the background: what is wrong is shown above its fields, and nothing that was typed is lost.
document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (form.method !== "post" || form.hasAttribute("data-plain") || event.defaultPrevented) return;
  event.preventDefault();
  const asked = form.dataset.confirm;
  if (asked && !window.confirm(asked)) return;
  const fields = new FormData(form, event.submitter);
  const is_file = form.enctype === "multipart/form-data";
  form.classList.add("is-busy");
  form.querySelectorAll(":scope > .problem").forEach((old) => old.remove());
  try {
    const answer = await fetch(form.getAttribute("action"), { method: "POST", body: is_file ? fields : new URLSearchParams(fields) });
    if (answer.headers.has("content-disposition")) return await keep(answer);
    const page = await parsed(answer);
    const problem = page.querySelector(".problem");
    if (answer.status >= 400 && problem) {
      form.prepend(document.adoptNode(problem));
      form.querySelector(".problem").scrollIntoView({ block: "nearest" });
    } else if (answer.redirected) {
      const here = new URL(answer.url);
      if (here.pathname + here.search === location.pathname + location.search) location.reload();
      else location.assign(answer.url);
    } else {
      replace(page);
    }
  } catch {
    // Nobody knows whether it arrived: it is not sent again by itself.
    const lost = document.createElement("div");
    lost.className = "notice bad problem";
    lost.role = "alert";
    lost.textContent = document.body.dataset.lost;
    form.prepend(lost);
  } finally {
    form.classList.remove("is-busy");
  }
});

// A file is kept under the name it came with.
async function keep(answer) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await answer.blob());
  link.download = /filename="([^"]+)"/.exec(answer.headers.get("content-disposition"))?.[1] ?? "";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

function replace(page) {
  document.querySelector("main").replaceWith(document.adoptNode(page.querySelector("main")));
  document.title = page.title;
  ready();
  document.querySelector("main").focus();
}

// What only makes sense with a script.
function ready() {
  for (const button of document.querySelectorAll("[data-copy]")) {
    if (!navigator.clipboard) continue;
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.dataset.copy);
      const before = button.textContent;
      button.textContent = button.dataset.done;
      setTimeout(() => { button.textContent = before; }, 1500);
    });
  }
  for (const box of document.querySelectorAll("[data-selects]")) {
    box.hidden = false;
    box.addEventListener("change", () => {
      for (const one of document.getElementsByName(box.dataset.selects)) one.checked = box.checked;
    });
  }
  const filled = document.querySelector("[data-fill-from-hash]");
  if (filled && location.hash.length > 1) {
    for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
      const input = filled.elements.namedItem(name);
      if (input instanceof HTMLInputElement && !input.value) input.value = value;
    }
    history.replaceState(null, "", location.pathname);
  }
  for (const form of document.querySelectorAll("form[data-tester]")) {
    let timer = 0, turn = 0;
    form.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(async () => {
        const mine = ++turn, body = new URLSearchParams(new FormData(form));
        const answer = await fetch(form.getAttribute("action"), { method: "POST", body });
        const fresh = answer.ok && mine === turn && (await parsed(answer)).getElementById("tested");
        if (fresh) document.getElementById("tested").replaceWith(document.adoptNode(fresh));
      }, 400);
    });
  }
  for (const select of document.querySelectorAll("select[data-submits]")) {
    select.addEventListener("change", () => select.form.requestSubmit());
  }
}

// News. `data-live="replace"`: the part is made anew in place. `data-live="announce"`: a button says that there is something,
// and nothing moves until it is pressed.
function listen() {
  const parts = () => document.querySelectorAll("[data-live]");
  if (!parts().length) return;
  let last = 0, timer = 0;
  const look = async () => {
    timer = 0;
    last = Date.now();
    if (document.hidden) return;
    const answer = await fetch(location.href, { headers: quiet });
    if (!answer.ok || answer.redirected) return;
    const page = await parsed(answer);
    for (const part of parts()) {
      const fresh = page.getElementById(part.id);
      if (!fresh || fresh.dataset.state === part.dataset.state && part.dataset.live === "announce") continue;
      if (part.dataset.live === "replace" && !part.contains(document.activeElement)) part.replaceWith(document.adoptNode(fresh));
      else if (part.dataset.live === "announce") announce(part, fresh.dataset.count - part.dataset.count);
    }
  };
  const soon = () => { timer ||= setTimeout(look, Math.max(0, 2000 - (Date.now() - last))); };
  let first = true;
  const source = new EventSource("/api/v1/events");
  source.addEventListener("derived", () => { if (first) first = false; else soon(); });
  document.addEventListener("visibilitychange", soon);
  addEventListener("pagehide", () => source.close());
}

function announce(part, more) {
  const button = part.querySelector(".arrived");
  if (!button) return;
  if (more > 0 && button.dataset.more) button.textContent = button.dataset.more.replace("{n}", more);
  if (!button.hidden) return;
  button.hidden = false;
  button.addEventListener("click", () => location.reload());
}

// Keys: `g` and then a letter of a room, `/` for the search of the page, `j` and `k` along the rows of a list.
let before = "";
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
  const rooms = { o: "/", a: "/alerts", s: "/search", c: "/cases", d: "/devices", r: "/rules", p: "/people", u: "/audit" };
  if (before === "g" && rooms[event.key]) location.assign(rooms[event.key]);
  else if (event.key === "/") focus(document.querySelector("[data-find]"), event);
  else if (event.key === "j" || event.key === "k") step(event.key === "j" ? 1 : -1, event);
  before = event.key;
});

function focus(what, event) {
  if (!what) return;
  event.preventDefault();
  what.focus();
}

function step(by, event) {
  const rows = [...document.querySelectorAll("[data-row]")];
  const here = rows.indexOf(document.activeElement);
  focus(rows[Math.min(Math.max(here + by, 0), rows.length - 1)], event);
}

ready();
listen();
