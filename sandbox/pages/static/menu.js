// What can be done with an item: archive, delete, move to another group, copy its id.

import { focusOn } from "./grid.js";
import { act, attempt, say } from "./talk.js";
import { remember } from "./undo.js";

let from = null;

const menu = document.createElement("div");
menu.className = "sheet";
menu.id = "row-menu";
menu.setAttribute("role", "menu");
menu.setAttribute("popover", "auto");

function entry(words, run) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button quiet";
  button.setAttribute("role", "menuitem");
  button.tabIndex = -1;
  button.textContent = words;
  button.addEventListener("click", () => {
    menu.hidePopover();
    run();
  });
  return button;
}

async function setAside(action, row, words) {
  const item_id = Number(row.dataset.item);
  if (!await attempt(act(action, { item_id }))) return;
  remember(words, "restore", { item_id });
  say(words, { undo: true });
}

async function move(row, group) {
  const item_id = Number(row.dataset.item);
  const group_id = row.dataset.group;
  if (!await attempt(act("move", { item_id, group_id: group.id }))) return;
  const words = `${nameOf(row)} moved to ${group.title}`;
  remember(words, "move", { item_id, group_id });
  say(words, { undo: true });
}

function nameOf(row) {
  return row.querySelector(".cell, .still").textContent;
}

function show(button) {
  const row = button.closest("tr");
  const groups = JSON.parse(document.getElementById("grid").dataset.groups);
  from = button;
  menu.setAttribute("aria-label", button.getAttribute("aria-label"));
  const archive = entry("Archive", () => setAside("archive", row, `${nameOf(row)} is archived`));
  archive.dataset.action = "archive";
  const remove = entry("Delete", () => setAside("delete", row, `${nameOf(row)} is in the trash`));
  remove.dataset.action = "delete";
  const others = groups.filter((group) => group.id !== row.dataset.group);
  menu.replaceChildren(
    archive,
    remove,
    entry("Duplicate", () => attempt(act("duplicate", { item_id: Number(row.dataset.item) }))),
    ...others.map((group) => entry(`Move to ${group.title}`, () => move(row, group))),
    entry(`Copy the item's id`, () => attempt(
      navigator.clipboard.writeText(row.dataset.item).then(() => say(`${row.dataset.item} is copied`)))),
  );
  menu.showPopover();
  const at = button.getBoundingClientRect();
  const size = menu.getBoundingClientRect();
  const top = at.bottom + size.height + 8 > innerHeight ? at.top - size.height - 4 : at.bottom + 4;
  Object.assign(menu.style, {
    left: `${Math.max(8, Math.min(at.left, innerWidth - size.width - 8))}px`, top: `${Math.max(8, top)}px`,
  });
  menu.firstElementChild.focus();
}

function onKey(event) {
  const entries = [...menu.children];
  const place = entries.indexOf(document.activeElement);
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) {
    event.preventDefault();
    entries[(place + step + entries.length) % entries.length].focus();
  }
  if (event.key === "Tab") menu.hidePopover();
  if (event.key === "Escape") {
    event.preventDefault();
    menu.hidePopover();
    focusOn(from);
  }
}

export function start() {
  const list = document.getElementById("list");
  if (!list) return;
  document.body.append(menu);
  menu.addEventListener("keydown", onKey);
  list.addEventListener("click", (event) => {
    const button = event.target.closest("[data-menu]");
    if (button) show(button);
    const restore = event.target.closest("[data-action=restore]");
    if (restore) attempt(act("restore", { item_id: Number(restore.closest("tr").dataset.item) }));
  });
}
