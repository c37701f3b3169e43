// The table as a grid: one place in the order of tabs, arrows between the cells, keys that edit.

import { around, clear, open } from "./edit.js";

const STOPS = ".cell:not([hidden]), .stop, .fold";
const TYPED = ["text", "long_text", "name", "numbers", "email", "phone", "link"];
const PAGE = 10; // rows

function grid() {
  return document.getElementById("grid");
}

// Which stop is in the order of tabs: the one that had the focus last, else the first.
export function settleTabs() {
  const table = grid();
  if (!table || table.querySelector(`:is(${STOPS})[tabindex="0"]`)) return;
  (table.querySelector(".cell, .stop") ?? table.querySelector(".fold"))?.setAttribute("tabindex", "0");
}

export function focusOn(stop) {
  if (!stop) return;
  for (const other of grid().querySelectorAll('[tabindex="0"]')) other.setAttribute("tabindex", "-1");
  stop.setAttribute("tabindex", "0");
  stop.focus();
}

function focusNext(step) {
  const stop = document.activeElement?.closest(STOPS);
  if (stop) focusOn(beside(stop, step) ?? stop);
}

function stopsOf(row) {
  return [...row.querySelectorAll(STOPS)];
}

function beside(stop, step) {
  const stops = stopsOf(stop.closest("tr"));
  return stops[stops.indexOf(stop) + step];
}

// The same column some rows away; of a group's heading its button.
function inRow(stop, steps) {
  const rows = [...grid().querySelectorAll("tbody tr")];
  const place = rows.indexOf(stop.closest("tr")) + steps;
  const row = rows[Math.max(0, Math.min(place, rows.length - 1))];
  const { column } = stop.dataset;
  const same = column && row.querySelector(`.cell[data-column="${CSS.escape(column)}"]`);
  return same || row.querySelector(".cell, .stop, .fold");
}

function edge(stop, last, whole) {
  const rows = [...grid().querySelectorAll("tbody tr")];
  const row = whole ? rows.at(last ? -1 : 0) : stop.closest("tr");
  return stopsOf(row).at(last ? -1 : 0);
}

function target(stop, event) {
  switch (event.key) {
    case "ArrowLeft": return beside(stop, -1);
    case "ArrowRight": return beside(stop, 1);
    case "ArrowUp": return inRow(stop, -1);
    case "ArrowDown": return inRow(stop, 1);
    case "PageUp": return inRow(stop, -PAGE);
    case "PageDown": return inRow(stop, PAGE);
    case "Home": return edge(stop, false, event.ctrlKey);
    case "End": return edge(stop, true, event.ctrlKey);
    default: return null;
  }
}

function onKey(event) {
  const stop = event.target.closest(STOPS);
  if (!stop || event.altKey || event.metaKey) return;
  const next = target(stop, event);
  if (next) {
    event.preventDefault();
    focusOn(next);
    return;
  }
  if (!stop.classList.contains("cell")) return;
  if (event.key === "F2") open(stop);
  else if (event.key === "Delete" || event.key === "Backspace") clear(stop);
  else if (event.key.length === 1 && event.key !== " " && !event.ctrlKey && TYPED.includes(stop.dataset.type)) {
    event.preventDefault();
    open(stop, event.key);
  }
}

export function start() {
  around.focusOn = focusOn;
  around.focusNext = focusNext;
  const list = document.getElementById("list");
  list?.addEventListener("keydown", onKey);
  list?.addEventListener("click", (event) => {
    const cell = event.target.closest(".cell");
    if (!cell) return;
    focusOn(cell);
    open(cell);
  });
  settleTabs();
}
