// Home's keys: j and k move, Enter opens, x selects, 1, 3 and b are a row's answers, u undoes the last act.
const STOPS = "#npd-home [data-row], #npd-home .npd-home-head > details[data-cause] > summary";
const stops = () => [...document.querySelectorAll(STOPS)].filter((stop) => stop.checkVisibility());
const here = () => document.activeElement?.closest("[data-row]");
const ticked = () => document.querySelectorAll("#npd-home .npd-home-tick:checked");

const move = (step) => {
  const all = stops();
  if (!all.length) return;
  const place = all.indexOf(here() ?? document.activeElement);
  const next = place < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(Math.max(place + step, 0), all.length - 1);
  all[next].focus();
  all[next].scrollIntoView({ block: "nearest" });
};

// Uses a side in the selected rows, by their group's button; without any, in the focused row.
const press = (key) => {
  const place = ticked()[0]?.closest(".npd-home-group").querySelector(".npd-home-head") ?? here();
  place?.querySelector(`[data-key="${key}"]`)?.click();
};

const keys = {
  j: () => move(1),
  k: () => move(-1),
  x: () => here()?.querySelector(".npd-home-tick")?.click(),
  1: () => press("1"),
  3: () => press("3"),
  b: () => press("b"),
  u: () => document.querySelector("[data-undo]")?.click(),
  Enter: () => here()?.dataset.url && location.assign(here().dataset.url),
};

document.addEventListener("keydown", (event) => {
  const field = event.target.closest("input:not([type=checkbox]), textarea, select, dialog[open]");
  if (field || event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(keys, event.key)) return;
  if (window.npdIsTurnedOff(event.key)) return;
  // Enter on a link or button does what that link or button does; an unfolded group leads to its first row.
  if (event.key === "Enter" && event.target.matches("summary") && event.target.parentElement.open) {
    event.preventDefault();
    return move(1);
  }
  if (event.key === "Enter" && event.target !== here()) return;
  event.preventDefault();
  keys[event.key]();
});

// After an act the page comes back with its opened groups, and with the focus on the next row; after an undo, where it was.
const NEXT = "npd-home-next";
document.addEventListener("submit", (event) => {
  const form = event.target.closest("#npd-home-undo, .npd-home-group form");
  if (!form) return;
  const rows = stops();
  const later = rows.slice(rows.indexOf(here()) + 1);
  const next = form.id ? here() : here() && later.find((row) => !row.querySelector(".npd-home-tick:checked"));
  if (next) sessionStorage.setItem(NEXT, next.id);
  const back = Object.assign(document.createElement("input"), { type: "hidden", name: "back" });
  back.value = location.pathname + location.search;
  form.append(back);
});
const next = document.getElementById(sessionStorage.getItem(NEXT) ?? "");
sessionStorage.removeItem(NEXT);
next?.focus();

// Keeps the opened groups in the address, so that a refreshed page has their rows (live.js).
const folds = () => [...document.querySelectorAll("#npd-home details[data-cause]")];
const sayOpened = (event) => {
  if (!event.target.matches("details[data-cause]")) return;
  const opened = folds().filter((fold) => fold.open);
  const address = new URL(location.href);
  address.search = new URLSearchParams(opened.map((fold) => ["cause", fold.dataset.cause]));
  history.replaceState(null, "", address);
};
document.addEventListener("toggle", sayOpened, true); // which doesn't bubble
