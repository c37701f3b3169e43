// The keys of the inbox: j and k move, x selects, enter opens, u undoes; a button's own key (data-key) acts on the entry or on the selected ones.
// A key presses the button that a mouse would: what it does, and who may, is the button's.
// The entries that are shown, and of a cause that is folded its line: Enter unfolds it.
const STOPS = "[data-inbox-row], .npd-inbox-group > :not([open]) > summary";
const rows = () => [...document.querySelectorAll(STOPS)].filter((row) => row.checkVisibility?.() ?? true);
const here = () => document.activeElement?.closest?.("[data-inbox-row]") ?? null;
const boxes = () => [...document.querySelectorAll(".npd-inbox-tick")];
const selected = () => boxes().filter((box) => box.checked);

const PLACE = "npd-inbox-place"; // where the keyboard was when an act loaded the page anew

const move = (step) => {
  const all = rows();
  if (!all.length) return;
  const from = document.activeElement;
  const at = all.indexOf(here() ?? from);
  const isAfter = (row) => from.closest(".npd-inbox-group") && from.compareDocumentPosition(row) & Node.DOCUMENT_POSITION_FOLLOWING;
  // From a cause that was unfolded just now it goes on to its entries, from anywhere else to the first or the last.
  const start = step > 0 ? Math.max(all.findIndex(isAfter), 0) : all.length - 1;
  const next = at < 0 ? start : Math.min(Math.max(at + step, 0), all.length - 1);
  all[next].focus();
  all[next].scrollIntoView({ block: "nearest" });
};

// “Select all” is all that match, also what this page doesn't show; without one of them it is what is ticked here.
// What a button is called for so many of `ticked` selected ones: what its rows call it, with their number, which is 0 where
// it is unknown: the question says it. Without a question it has no dots.
const labelOf = (button, { number, ticked, emptied, isAll }) => {
  const shown = number.toLocaleString("en");
  if (number && emptied === number) return `Empty ${shown} ${number === 1 ? "entry" : "entries"} ${button.dataset.side}…`;
  const own = "asRows" in button.dataset ? ownLabels(button.value) : [];
  const one = own.length === 1 ? own[0] : button.dataset.one;
  if (!number || ticked < 2) return one;
  const some = one === button.dataset.one && button.dataset.some ? button.dataset.some : `${one.replace("…", "")}: {number}`;
  const noun = button.dataset.nouns.split(",")[number === 1 ? 0 : 1];
  const said = some.replace("{number}", shown).replace("{records}", `${shown} ${noun}`);
  const dots = isAll || emptied || button.dataset.one.endsWith("…") ? "…" : "";
  return said.replace("{items}", `${shown} ${number === 1 ? "item" : "items"}`).replace("…", "") + dots;
};

const does = (box, name) => box.dataset.acts.split(" ").includes(name);
const empties = (box, name) => (box.dataset.empties ?? "").split(" ").includes(name);

// What the selected rows call an act, where it empties nothing of them.
const ownLabels = (name) => {
  const fitting = selected().filter((box) => does(box, name) && !empties(box, name));
  const buttons = fitting.map((box) => box.closest("[data-inbox-row]").querySelector(`button[value^="${CSS.escape(name)} "]`));
  return [...new Set(buttons.filter(Boolean).map((button) => button.textContent.trim()))];
};

// With how many of the selected an act can be done. Of a cause with more than is shown all can, or none, where those do;
// 0 where that isn't known, or where other pages have more.
const fittingOf = (name, isAll) => {
  const fitting = selected().filter((box) => does(box, name));
  if (!isAll || boxes().length === Number(document.querySelector("[data-inbox-all]").value)) return fitting.length;
  const groups = [...document.querySelectorAll(".npd-inbox-group")];
  const shown = groups.map((group) => [...group.querySelectorAll(".npd-inbox-tick")]);
  const total = groups.reduce((sum, group) => sum + Number(group.dataset.number), 0);
  if (total !== Number(document.querySelector("[data-inbox-all]").value)) return 0;
  const counts = groups.map((group, place) => {
    const able = shown[place].filter((box) => does(box, name)).length;
    if (!able) return 0;
    return able === shown[place].length ? Number(group.dataset.number) : shown[place].length === Number(group.dataset.number) ? able : NaN;
  });
  return counts.reduce((sum, number) => sum + number, 0) || 0;
};

const showSelected = () => {
  const all = document.querySelector("[data-inbox-all]");
  const ticked = selected().length;
  const matching = Number(all?.value);
  if (all) {
    all.checked = ticked > 0 && ticked === boxes().length && (all.checked || ticked === matching);
    all.indeterminate = ticked > 0 && !all.checked;
  }
  const number = all?.checked ? matching : ticked;
  const line = document.querySelector("[data-inbox-selected]");
  if (line) line.textContent = number ? `${number.toLocaleString("en")} selected` : "";
  // An act is offered where it can be done with one of them at least.
  const acts = new Set(selected().flatMap((box) => box.dataset.acts.split(" ")));
  for (const button of document.querySelectorAll("[data-inbox-bulk]")) {
    button.hidden = !acts.has(button.value);
    button.dataset.one ??= button.textContent.trim();
    const emptied = selected().filter((box) => empties(box, button.value)).length;
    if (button.dataset.side) button.classList.toggle("npd-button-deletes", emptied > 0);
    const isAll = Boolean(all?.checked);
    button.textContent = labelOf(button, { number: fittingOf(button.value, isAll), ticked: number, emptied, isAll });
  }
};

// The button with this key: of the selected entries where there are some, else of the one that has the keyboard.
const buttonOf = (key) =>
  selected().length
    ? document.querySelector(`[data-bulk-key="${CSS.escape(key)}"]:not([hidden])`)
    : here()?.querySelector(`[data-key="${CSS.escape(key)}"]`);

const keepPlace = () => {
  const row = here() ?? selected()[0]?.closest("[data-inbox-row]");
  sessionStorage.setItem(PLACE, String(Math.max(rows().indexOf(row), 0)));
};

const act = (button) => {
  keepPlace();
  button?.click();
};

// Only what is offered in sight is undone: an act of a minute ago is nobody's last one any more.
const undo = () => {
  const button = document.querySelector("[data-inbox-undo]");
  if (button?.checkVisibility({ visibilityProperty: true })) return act(button);
  for (const toast of document.querySelectorAll(".npd-toast")) toast.remove();
  const told = document.querySelector("[data-inbox-nothing]").content.cloneNode(true);
  document.querySelector(".npd-inbox-form").before(told);
};

const keys = {
  j: () => move(1),
  k: () => move(-1),
  x: () => {
    const box = here()?.querySelector(".npd-inbox-tick");
    if (!box) return;
    box.checked = !box.checked;
    showSelected();
  },
  u: () => undo(),
  "?": () => document.getElementById("npd-inbox-help")?.showModal(),
  Enter: () => here()?.dataset.url && location.assign(here().dataset.url),
};

document.addEventListener("keydown", (event) => {
  const field = event.target.closest("input:not([type=checkbox]), textarea, select, [contenteditable], dialog[open]");
  if (field || event.ctrlKey || event.metaKey || event.altKey) return;
  // Enter on a link or a button is that link's or button's own.
  if (event.key === "Enter" && event.target !== here()) return;
  const button = Object.hasOwn(keys, event.key) ? null : buttonOf(event.key);
  if (!button && !Object.hasOwn(keys, event.key)) return;
  event.preventDefault();
  if (button) act(button);
  else keys[event.key]();
});

// Who came to a button by Tab goes on from its entry; who clicked has no place to keep.
document.addEventListener("submit", () => document.activeElement?.matches(":focus-visible") && keepPlace());

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-inbox-all]")) for (const box of boxes()) box.checked = event.target.checked;
  if (event.target.matches("[data-inbox-all], .npd-inbox-tick")) showSelected();
});

// An entry that left by itself hands the keyboard to the next one, the last to the one before it, at last to the heading.
document.addEventListener("npd-live-left", ({ detail: { part, id } }) => {
  const ids = [...part.querySelectorAll(`${STOPS}, #${CSS.escape(id)}`)].map((row) => row.id);
  const at = ids.indexOf(id);
  const heirs = [...ids.slice(at + 1), ...ids.slice(0, at).reverse()].map((one) => document.getElementById(one));
  const shown = rows();
  const heir = heirs.find((row) => shown.includes(row)) ?? shown[0] ?? document.querySelector("h1");
  if (heir?.tagName === "H1") heir.tabIndex = -1;
  heir?.focus({ preventScroll: true });
});

document.addEventListener("DOMContentLoaded", () => {
  showSelected(); // a browser may come back to a page with what was selected
  const place = sessionStorage.getItem(PLACE);
  sessionStorage.removeItem(PLACE);
  const all = rows();
  if (place !== null && all.length) all[Math.min(Number(place), all.length - 1)].focus();
});
