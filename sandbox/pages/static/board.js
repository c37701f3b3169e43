// The board page: a grid that is edited in place, follows what others change, and shows what goes over the wire.

import * as grid from "./grid.js";
import * as listing from "./listing.js";
import * as menu from "./menu.js";
import * as rows from "./rows.js";
import { board, choosePerson, say } from "./talk.js";
import * as tools from "./tools.js";
import * as undo from "./undo.js";

const LINES = 30;

// A line of the side log, put in its place or on top; one that is open stays open.
function line(list, { id, html }) {
  const there = document.getElementById(id);
  if (there) {
    const isOpen = there.querySelector("details").open;
    there.outerHTML = html;
    document.getElementById(id).querySelector("details").open = isOpen;
    return;
  }
  list.insertAdjacentHTML("afterbegin", html);
  while (list.children.length > LINES) list.lastElementChild.remove();
}

function listen() {
  const live = document.getElementById("live");
  if (!live) return;
  const source = new EventSource(`/events${board ? `?board=${board}` : ""}`);
  const on = (name, handle) => source.addEventListener(name, (event) => handle(JSON.parse(event.data)));
  let wasLost = false;
  let timer = 0;
  source.addEventListener("open", () => {
    live.textContent = "live";
    // What happened in between was told to nobody.
    if (wasLost) document.querySelectorAll("tr[data-item]").forEach((row) => rows.follow(row.dataset.item, false));
    wasLost = false;
  });
  source.addEventListener("error", () => {
    live.textContent = "reconnecting…";
    wasLost = true;
  });
  on("call", (one) => {
    line(document.getElementById("calls"), one);
    document.getElementById("spent").textContent = one.spent;
    tools.changed();
  });
  on("delivery", (one) => {
    line(document.getElementById("deliveries"), one);
    tools.changed();
  });
  on("tools", tools.changed);
  on("npd", rows.waitingIs);
  on("reset", () => location.assign("/"));
  on("item", (about) => { if (board) rows.follow(about.id, true); });
  on("board", () => {
    // Columns or boards changed: show them, unless somebody is typing.
    clearTimeout(timer);
    timer = setTimeout(() => { if (!document.querySelector(".editor")) location.reload(); }, 700);
  });
}

choosePerson((name) => say(`You play ${name} now`));
grid.start();
menu.start();
listing.start();
tools.start();
undo.start();
rows.ageAll();
document.querySelector("tr.focused")?.scrollIntoView({ block: "center" });
grid.focusOn(document.querySelector("tr.focused .cell"));
listen();
