// Another search, page, order or state, and folded groups: the table is fetched and put in place.

import { settleTabs } from "./grid.js";
import { ageAll, follow, showWaiting } from "./rows.js";
import { act, attempt, board, reach, say } from "./talk.js";

const SEARCH_MS = 220;
let asked = 0;
let timer = 0;

function address() {
  return new URLSearchParams(location.search);
}

// Show the board as these parameters say; `key` names what had the focus within the table.
async function show(query, key = null) {
  asked += 1;
  const mine = asked;
  const list = document.getElementById("list");
  list.setAttribute("aria-busy", "true");
  const answer = await reach(`/board/${board}/list?${query}`);
  if (mine !== asked) return;
  list.removeAttribute("aria-busy");
  if (!answer.ok) {
    say("The sandbox did not answer. Reload the page.", { bad: true });
    return;
  }
  list.innerHTML = await answer.text();
  history.replaceState(null, "", `/board/${board}?${query}`);
  const hidden = document.querySelector("#search [name=state]");
  if (hidden) hidden.value = query.get("state") || "active";
  if (key) list.querySelector(key)?.focus();
  ageAll();
  settleTabs();
  showWaiting();
}

function search() {
  const form = document.getElementById("search");
  const query = address();
  query.set("q", form.elements.q.value);
  query.set("sort", form.elements.sort.value);
  query.delete("page");
  return show(query);
}

function fold(button) {
  const query = address();
  const closed = new Set((query.get("closed") || "").split(",").filter(Boolean));
  const { fold: group } = button.dataset;
  if (!closed.delete(group)) closed.add(group);
  query.set("closed", [...closed].join(","));
  query.delete("page");
  return show(query, `[data-fold="${CSS.escape(group)}"]`);
}

async function add(event) {
  event.preventDefault();
  const { name, group } = event.target.elements;
  const made = await attempt(act("add", { board_id: Number(board), name: name.value, group_id: group?.value }));
  if (!made) return;
  name.value = "";
  await follow(made.id, true);
  say(`${made.name} is on the board`);
}

export function start() {
  const form = document.getElementById("search");
  if (!form) return;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(timer);
    attempt(search());
  });
  form.elements.q.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => attempt(search()), SEARCH_MS);
  });
  form.elements.sort.addEventListener("change", () => attempt(search()));
  document.getElementById("list").addEventListener("click", (event) => {
    const link = event.target.closest(".tabs a, .footer nav a");
    const button = event.target.closest("[data-fold]");
    if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      const { state } = link.dataset;
      attempt(show(new URL(link.href).searchParams, state && `.tabs [data-state="${state}"]`));
      if (!state) document.getElementById("list").scrollIntoView();
    }
    if (button) attempt(fold(button));
  });
  document.getElementById("add")?.addEventListener("submit", add);
}
