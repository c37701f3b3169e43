// Home's keys, as a mouse would press: j and k move, Enter opens, x selects, 1 and 3 use a side, u undoes the last act.
const STOPS = "#npd-home [data-row], #npd-home .npd-home-head > details > summary";
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

// A side is used in the row that has the keyboard; with ticked rows in these, by their group's button.
const press = (key) => {
  const group = ticked()[0]?.closest(".npd-home-group");
  const place = ticked().length ? group : here();
  place?.querySelector(`${ticked().length ? ".npd-home-head " : ""}[data-key="${key}"]`)?.click();
};

const keys = {
  j: () => move(1),
  k: () => move(-1),
  x: () => here()?.querySelector(".npd-home-tick")?.click(),
  1: () => press("1"),
  3: () => press("3"),
  u: () => document.querySelector("[data-undo]")?.click(),
  Enter: () => here()?.dataset.url && location.assign(here().dataset.url),
};

document.addEventListener("keydown", (event) => {
  const field = event.target.closest("input:not([type=checkbox]), textarea, select, dialog[open]");
  if (field || event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(keys, event.key)) return;
  // Enter on a link or a button is that link's or button's own.
  if (event.key === "Enter" && event.target !== here()) return;
  event.preventDefault();
  keys[event.key]();
});

// Nothing moves under somebody who is at work, or after a form was sent, until its answer comes.
let isLeaving = false;
document.addEventListener("submit", () => (isLeaving = true));
const isBusy = () => isLeaving || ticked().length > 0 || document.querySelector("#npd-home .npd-menu[open]") !== null;

document.addEventListener("htmx:beforeRequest", (event) => {
  if (event.target.id === "npd-home" && (document.hidden || isBusy())) event.preventDefault();
});
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.target.id === "npd-home" && isBusy()) event.detail.shouldSwap = false;
});

// The server is told what the page shows: which version, and which groups somebody has opened.
document.addEventListener("htmx:configRequest", (event) => {
  if (event.target.id !== "npd-home") return;
  const folds = [...event.target.querySelectorAll(".npd-home-head > details[open]")];
  event.detail.parameters = { version: event.target.dataset.version, open: folds.map((fold) => fold.dataset.cause) };
});

// Says to who can't see it how the sync is now, where that is something else.
const stateText = () => {
  const state = document.getElementById("npd-home-state") ?? document.querySelector("#npd-home .npd-stop-causes");
  return state?.textContent.replace(/\s+/g, " ").trim() ?? "";
};
let said = "";
document.addEventListener("DOMContentLoaded", () => (said = stateText()));
document.addEventListener("htmx:afterSettle", () => {
  const news = document.getElementById("npd-live-news");
  if (!news || stateText() === said) return;
  said = stateText();
  news.textContent = said;
});
