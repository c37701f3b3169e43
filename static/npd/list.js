// A list's keys: j and k move between its rows, x selects the row; Enter opens the link that has the focus.
const rows = () => [...document.querySelectorAll("#changelist tr.data-row")].filter((row) => row.querySelector("a"));
const rowHere = () => document.activeElement?.closest("#changelist tr.data-row");

const step = (by) => {
  const all = rows();
  const place = all.indexOf(rowHere());
  const next = all[place < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(place + by, 0), all.length - 1)];
  (next?.querySelector("th a") ?? next?.querySelector("a"))?.focus();
};

const listKeys = {
  j: () => step(1),
  k: () => step(-1),
  x: () => rowHere()?.querySelector(".action-select")?.click(),
};

document.addEventListener("keydown", (event) => {
  const field = event.target.closest("input:not([type=checkbox]), textarea, select, dialog[open]");
  if (field || event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(listKeys, event.key)) return;
  if (window.npdIsTurnedOff(event.key)) return;
  event.preventDefault();
  listKeys[event.key]();
});
