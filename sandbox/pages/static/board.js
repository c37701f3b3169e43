// The board page: edit cells in place, follow what others change, show the calls and webhooks as they happen.
"use strict";

const board = document.body.dataset.board;
const rows = document.getElementById("rows");
const person = document.getElementById("person");
const message = document.getElementById("message");
const FRESH_MS = 10000;
const LINES = 30;
let npd = null;

async function send(path, content, method = "POST") {
  const answer = await fetch(path, {
    method,
    headers: { "Content-Type": "application/json" },
    body: method === "DELETE" ? undefined : JSON.stringify(content),
  });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error || `HTTP ${answer.status}`);
  return body;
}

function act(action, more) {
  return send("/_control/actions", { action, user_id: Number(person.value), ...more });
}

function say(words, bad = false) {
  message.textContent = words;
  message.classList.toggle("bad", bad);
  message.hidden = false;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { message.hidden = true; }, bad ? 9000 : 4000);
}

function attempt(promise) {
  return promise.catch((failure) => say(failure.message, true));
}

// Editing

function editor(cell) {
  const type = cell.dataset.type;
  const options = cell.dataset.options ? JSON.parse(cell.dataset.options) : null;
  let field;
  if (type === "long_text") {
    field = document.createElement("textarea");
    field.rows = 4;
  } else if (type === "status" && options) {
    field = document.createElement("select");
    for (const label of options) field.add(new Option(label || "(empty)", label));
  } else {
    field = document.createElement("input");
    field.type = { date: "date", numbers: "text" }[type] || "text";
    if (type === "numbers") field.inputMode = "decimal";
    if (type === "email") field.inputMode = "email";
    if (type === "phone") field.inputMode = "tel";
  }
  field.value = type === "date" ? cell.dataset.edit.slice(0, 10) : cell.dataset.edit;
  field.className = "editor";
  field.setAttribute("aria-label", cell.getAttribute("aria-label").replace(/\. Edit$/, ""));
  return field;
}

function open(cell) {
  if (cell.dataset.type === "checkbox") {
    const ticked = cell.getAttribute("aria-pressed") === "true";
    return save(cell, ticked ? "" : "v");
  }
  const field = editor(cell);
  const before = field.value;
  cell.hidden = true;
  cell.after(field);
  field.focus();
  if (field.select) field.select();
  let closed = false;
  let refused = null;
  const close = (refocus) => {
    closed = true;
    field.parentElement?.querySelector(".refused")?.remove();
    field.remove();
    cell.hidden = false;
    if (refocus) cell.focus();
    if (cell.closest("tr")?.dataset.stale) refresh(cell.closest("tr").dataset.item);
  };
  const finish = async (refocus) => {
    if (closed || field.disabled) return;
    if (field.value === before) return close(refocus);
    // What was refused stays to be read and mended; leaving the field does not send it again.
    if (!refocus && field.value === refused) return undefined;
    field.disabled = true;
    const item = cell.closest("tr").dataset.item;
    const column = cell.dataset.column;
    try {
      await change(cell, field.value);
      close(false);
      await refresh(item);
      if (refocus) document.querySelector(`#item-${item} [data-column="${CSS.escape(column)}"]`)?.focus();
    } catch (failure) {
      field.disabled = false;
      refused = field.value;
      refuse(field, failure.message);
      if (refocus) field.focus();
    }
  };
  field.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key === "Escape") close(true);
    if (event.key === "Enter" && !(event.shiftKey && field.tagName === "TEXTAREA")) {
      event.preventDefault();
      finish(true);
    }
  });
  field.addEventListener("blur", () => finish(false));
  if (field.tagName === "SELECT") field.addEventListener("change", () => finish(true));
  return undefined;
}

function refuse(field, words) {
  let note = field.parentElement.querySelector(".refused");
  if (!note) {
    note = document.createElement("span");
    note.className = "refused";
    note.setAttribute("role", "alert");
    field.after(note);
  }
  note.textContent = words.split(". Please check our API")[0];
  field.setAttribute("aria-invalid", "true");
}

function change(cell, text) {
  const item_id = Number(cell.closest("tr").dataset.item);
  if (cell.dataset.column === "name") return act("rename", { item_id, name: text });
  return act("edit", { item_id, column_id: cell.dataset.column, text });
}

async function save(cell, text) {
  const { item } = cell.closest("tr").dataset;
  const { column } = cell.dataset;
  await attempt(change(cell, text));
  await refresh(item);
  document.querySelector(`#item-${item} [data-column="${CSS.escape(column)}"]`)?.focus();
}

// Rows

async function refresh(item, insert = false) {
  const there = document.getElementById(`item-${item}`);
  if (!there && !insert) return;
  if (there && there.querySelector(".editor")) {
    there.dataset.stale = "yes";
    return;
  }
  const answer = await fetch(`/board/${board}/row/${item}`);
  if (!answer.ok) return;
  const html = await answer.text();
  const now = document.getElementById(`item-${item}`);
  const holder = document.createElement("tbody");
  holder.innerHTML = html;
  const fresh = holder.firstElementChild;
  const column = now?.contains(document.activeElement) ? document.activeElement.dataset.column : null;
  if (now) now.replaceWith(fresh);
  else if (belongs(fresh)) rows.prepend(fresh);
  if (column) fresh.querySelector(`[data-column="${CSS.escape(column)}"]`)?.focus();
  document.getElementById("nothing")?.remove();
  age(fresh);
  showWaiting();
}

function belongs(row) {
  const asked = new URLSearchParams(location.search);
  const state = asked.get("state") || "active";
  const first = !asked.get("q") && (asked.get("page") || "1") === "1";
  return first && (asked.get("sort") || "changed") === "changed" && (state === "all" || state === row.dataset.state);
}

function age(row) {
  if (!row.classList.contains("fresh")) return;
  setTimeout(() => {
    row.classList.remove("fresh", "by-npd");
    row.querySelectorAll(".just").forEach((tag) => tag.remove());
  }, FRESH_MS);
}

// A burst of changes must not become a burst of requests: rows that are not on the page are fetched one by one.
const coming = new Map();
let fetching = false;

async function follow(item, insert) {
  coming.set(item, insert);
  if (fetching) return;
  fetching = true;
  while (coming.size) {
    const [next, add] = coming.entries().next().value;
    coming.delete(next);
    await refresh(next, add && coming.size < 40);
  }
  fetching = false;
}

// Waiting reasons of NPD

function showWaiting() {
  const note = document.getElementById("npd-note");
  if (!npd || !note) return;
  note.hidden = npd.reachable;
  if (!npd.reachable) note.textContent = "NPD can't be reached right now, so why items wait is not shown.";
  for (const tag of document.querySelectorAll(".waiting")) {
    const about = npd.waiting[tag.closest("tr").dataset.item];
    tag.hidden = !about;
    if (about) tag.textContent = about.reason + until(about.until);
  }
}

function until(moment) {
  const date = moment ? new Date(moment) : null;
  if (!date || Number.isNaN(date.getTime())) return "";
  return date > new Date() ? ` · until ${date.toLocaleTimeString()}` : " · any moment now";
}

// The side log

function line(list, { id, html }) {
  const there = document.getElementById(id);
  if (there) {
    there.outerHTML = html;
    return;
  }
  list.insertAdjacentHTML("afterbegin", html);
  while (list.children.length > LINES) list.lastElementChild.remove();
}

function listen() {
  const live = document.getElementById("live");
  const source = new EventSource(`/events${board ? `?board=${board}` : ""}`);
  const on = (name, handle) => source.addEventListener(name, (event) => handle(JSON.parse(event.data)));
  source.addEventListener("open", () => { live.textContent = "live"; });
  source.addEventListener("error", () => { live.textContent = "reconnecting…"; });
  on("call", (one) => {
    line(document.getElementById("calls"), one);
    document.getElementById("spent").textContent = one.spent;
  });
  on("delivery", (one) => line(document.getElementById("deliveries"), one));
  on("npd", (state) => { npd = state; showWaiting(); });
  on("reset", () => location.assign("/"));
  on("item", (about) => { if (board) follow(about.id, true); });
  on("board", () => {
    // Columns or boards changed: show them, unless somebody is typing.
    clearTimeout(listen.timer);
    listen.timer = setTimeout(() => { if (!document.querySelector(".editor")) location.reload(); }, 700);
  });
}

// Keys and buttons

function neighbour(cell, key) {
  const row = cell.closest("tr");
  const cells = [...row.querySelectorAll(".cell")];
  const place = cells.indexOf(cell);
  if (key === "ArrowLeft") return cells[place - 1];
  if (key === "ArrowRight") return cells[place + 1];
  const other = key === "ArrowUp" ? row.previousElementSibling : row.nextElementSibling;
  return other?.querySelectorAll(".cell")[place];
}

function start() {
  const kept = localStorage.getItem("sandbox-person");
  if (person && kept && [...person.options].some((option) => option.value === kept)) person.value = kept;
  person?.addEventListener("change", () => localStorage.setItem("sandbox-person", person.value));

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.classList.contains("cell")) open(button);
    const row = button.closest("tr");
    if (button.dataset.action) attempt(act(button.dataset.action, { item_id: Number(row.dataset.item) }));
    if (button.dataset.fault) {
      attempt(send("/_control/faults", JSON.parse(button.dataset.fault)).then((left) => say(`${left.length} fault(s) waiting`)));
    }
    if (button.id === "clear-faults") attempt(send("/_control/faults", null, "DELETE").then(() => say("No faults waiting")));
    if (button.id === "reset" && confirm("Forget all boards, items and webhooks of this sandbox?")) {
      attempt(send("/_control/reset", {}));
    }
  });

  rows?.addEventListener("keydown", (event) => {
    if (!event.target.classList.contains("cell") || !event.key.startsWith("Arrow")) return;
    const next = neighbour(event.target, event.key);
    if (next) {
      event.preventDefault();
      next.focus();
    }
  });

  document.getElementById("add")?.addEventListener("submit", async (event) => {
    event.preventDefault();
    const field = event.target.elements.name;
    const made = await attempt(act("add", { board_id: Number(board), name: field.value }));
    if (!made) return;
    field.value = "";
    await refresh(made.id, true);
    say(`${made.name} is on the board`);
  });

  document.querySelectorAll("tr.fresh").forEach(age);
  document.querySelector("tr.focused")?.scrollIntoView({ block: "center" });
  document.querySelector("tr.focused .cell")?.focus({ preventScroll: true });
  listen();
}

start();
