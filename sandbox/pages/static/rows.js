// Rows that change while one looks: put them anew, show what is new in them, and never under somebody's typing.

import { around } from "./edit.js";
import { settleTabs } from "./grid.js";
import { attempt, board, me, reach } from "./talk.js";

const FRESH_MS = 10000;
const TOGETHER = 50;
const NEWS_LINES = 5;
let npd = null;

export function elementOf(html) {
  const holder = document.createElement("tbody");
  holder.innerHTML = html;
  return holder.firstElementChild;
}

// What is asked for goes together into one request: a burst of changes must not become a burst of requests.
const coming = new Map();
let fetching = null;

export function follow(item, insert) {
  coming.set(String(item), insert || coming.get(String(item)) === true);
  fetching ??= attempt(Promise.resolve().then(fetchAll)).finally(() => { fetching = null; });
  return fetching;
}

async function fetchAll() {
  while (coming.size) {
    const some = [...coming].slice(0, TOGETHER);
    some.forEach(([item]) => coming.delete(item));
    const wanted = some.filter(([item, insert]) => insert || document.getElementById(`item-${item}`));
    if (!wanted.length) continue;
    const answer = await reach(`/board/${board}/rows?ids=${wanted.map(([item]) => item).join(",")}`);
    if (!answer.ok) return;
    const { rows, counts } = await answer.json();
    for (const [item, insert] of wanted) if (rows[item]) put(elementOf(rows[item]), insert);
    for (const [state, count] of Object.entries(counts)) {
      const place = document.querySelector(`[data-count="${state}"]`);
      if (place) place.textContent = count.toLocaleString("en");
    }
    settleTabs();
    showWaiting();
  }
}

function put(fresh, insert) {
  const old = document.getElementById(fresh.id);
  if (old) replace(old, fresh);
  else if (insert && belongs(fresh)) place(fresh);
}

function place(fresh) {
  const body = document.querySelector(`[data-rows="${CSS.escape(fresh.dataset.group)}"]`);
  if (!body || body.querySelector(".fold").getAttribute("aria-expanded") === "false") return;
  body.querySelector("tr.group").after(fresh);
  document.getElementById("nothing")?.remove();
  flash(fresh);
  age(fresh);
}

function belongs(row) {
  const asked = new URLSearchParams(location.search);
  const state = asked.get("state") || "active";
  const first = !asked.get("q") && (asked.get("page") || "1") === "1";
  return first && (asked.get("sort") || "changed") === "changed" && (state === "all" || state === row.dataset.state);
}

function replace(old, fresh) {
  const edited = old.querySelector(".edit")?.parentElement;
  if (edited) {
    putAround(old, fresh, edited);
    return;
  }
  const column = old.contains(document.activeElement) ? document.activeElement.dataset.column : null;
  const stop = old.querySelector('[tabindex="0"]')?.dataset.column;
  const moved = old.dataset.group !== fresh.dataset.group;
  tell(old, fresh);
  old.replaceWith(fresh);
  if (moved) document.querySelector(`[data-rows="${CSS.escape(fresh.dataset.group)}"] tr.group`)?.after(fresh);
  if (stop) cellIn(fresh, stop)?.setAttribute("tabindex", "0");
  if (column) (cellIn(fresh, column) ?? fresh.querySelector(".stop"))?.focus();
  age(fresh);
}

// Somebody types in this row: everything around the editor is put anew, the editor stays.
function putAround(old, fresh, edited) {
  tell(old, fresh);
  const mine = [...old.children].indexOf(edited);
  [...fresh.children].forEach((cell, index) => {
    if (index !== mine) old.children[index]?.replaceWith(cell);
  });
  old.className = fresh.className;
  old.dataset.stale = "yes";
  const before = edited.querySelector(".cell");
  const now = [...fresh.children].map((cell) => cell.querySelector(".cell")).find((cell) => (
    cell && before && cell.dataset.column === before.dataset.column));
  if (!before || !now || now.dataset.value === before.dataset.value || fresh.dataset.by === me()) return;
  let note = edited.querySelector(".meanwhile");
  if (!note) {
    note = document.createElement("span");
    note.className = "meanwhile";
    note.setAttribute("role", "status");
    edited.append(note);
  }
  const words = now.textContent === "–" ? "emptied this" : `changed this to “${now.textContent}”`;
  note.textContent = `${fresh.dataset.by || "Somebody"} ${words} meanwhile. Enter keeps yours, Esc takes theirs.`;
}

function cellIn(row, column) {
  return row.querySelector(`[data-column="${CSS.escape(column)}"]`);
}

// What others changed flashes, and screen readers hear of it.
function tell(old, fresh) {
  if (fresh.dataset.by === me()) return;
  const titles = [];
  for (const cell of fresh.querySelectorAll(".cell")) {
    const before = cellIn(old, cell.dataset.column);
    if (!before || before.dataset.value === cell.dataset.value) continue;
    flash(cell);
    titles.push(cell.dataset.column === "name" ? "the name" : cell.parentElement.dataset.title);
  }
  if (old.dataset.state !== fresh.dataset.state) titles.push("the state");
  if (titles.length) news(`${fresh.dataset.by || "Somebody"} changed ${titles.join(", ")} of ${nameOf(fresh)}`);
}

function nameOf(row) {
  return row.querySelector(".cell, .still").textContent;
}

function news(words) {
  const log = document.getElementById("news");
  const line = document.createElement("span");
  line.textContent = `${words}. `;
  log.append(line);
  while (log.children.length > NEWS_LINES) log.firstElementChild.remove();
}

function flash(element) {
  element.classList.add("flash");
  setTimeout(() => element.classList.remove("flash"), 2500);
}

export function age(row) {
  if (!row.classList.contains("fresh")) return;
  setTimeout(() => {
    row.classList.remove("fresh", "by-npd");
    row.querySelectorAll(".just").forEach((tag) => tag.remove());
  }, FRESH_MS);
}

export function ageAll() {
  document.querySelectorAll("tr.fresh").forEach(age);
}

// Why NPD lets items wait

export function waitingIs(state) {
  npd = state;
  showWaiting();
}

export function showWaiting() {
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
  if (date <= new Date()) return " · any moment now";
  const day = date.toDateString() === new Date().toDateString() ? {} : { dateStyle: "medium" };
  return ` · until ${date.toLocaleString([], { ...day, timeStyle: "short" })}`;
}

around.refresh = async (item) => {
  const row = document.getElementById(`item-${item}`);
  if (row) delete row.dataset.stale;
  await follow(item, false);
};
