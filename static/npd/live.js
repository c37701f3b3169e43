// Keeps an open page up to date: every few seconds it fetches itself and replaces its live parts, except parts in which
// somebody is typing or choosing. A hidden page fetches nothing.
const EVERY = 5000; // milliseconds
const QUICK = 1000; // while the page's record is being synced

const parts = () => [...document.querySelectorAll("[data-live][id], #changelist-form")];
const shownOf = (page) => page.querySelector("input[name=_shown]");
const stored = (input) => JSON.parse(input?.value || "{}");
const plain = (text) => String(text ?? "").replace(/\r\n?/g, "\n").trim();

let moved = 0; // when the pointer moved last: rows must not move under a pointer that is about to click
document.addEventListener("pointermove", () => (moved = Date.now()), { passive: true });

// A page that is being left isn't refreshed, because keys pressed meanwhile are meant for what it shows.
const LEAVING = 60_000; // at most, because a form that is answered with a file leaves no page
let leftAt = -LEAVING;
document.addEventListener("submit", (event) => !event.defaultPrevented && (leftAt = Date.now()));

// A link to a new tab has the focus while somebody is there, who wants to find the page up to date. The focus stays also
// on a row's link, which keys move (list.js).
const KEEPS_FOCUS = "[data-live-focus], a[target=_blank], #changelist tr.data-row a";
const sameAs = (element, part) =>
  element.id ? document.getElementById(element.id) : part.querySelector(`a[href="${CSS.escape(element.getAttribute("href"))}"]`);
// If a row with the focus is gone, the one in its place gets it.
const ROW = "tr.data-row, [data-row], .npd-home-head summary";
const inPlaceOf = (element, part, placed) => {
  const place = [...part.querySelectorAll(ROW)].indexOf(element.closest(ROW));
  const rows = [...placed.querySelectorAll(ROW)];
  const row = place < 0 ? null : rows[Math.min(place, rows.length - 1)];
  return row?.matches("tr") ? row.querySelector("th a") ?? row.querySelector("a") : row;
};

const atWork = (part) =>
  Date.now() - leftAt < LEAVING ||
  part.inert || // behind the panel of filters; its replacement wouldn't be inert
  (part.matches(":hover") && Date.now() - moved < 2000) ||
  (part.contains(document.activeElement) && !document.activeElement.matches(KEEPS_FOCUS)) ||
  part.querySelector("details[open]:not([data-live-keep]), input[type=checkbox]:checked:is(.action-select, .npd-home-tick), .htmx-request") !== null ||
  [...part.querySelectorAll("input[type=text], textarea")].some((field) => field.value !== field.defaultValue) ||
  (String(document.getSelection()) !== "" && part.contains(document.getSelection().anchorNode)) ||
  [...document.querySelectorAll(".htmx-request")].some((element) => element.getAttribute("hx-target") === `#${part.id}`);

// Keeps what a person has opened or closed (data-live-keep), and the focus (data-live-focus).
const keepFolds = (part, placed) => {
  for (const fold of part.querySelectorAll("details[data-live-keep][id]")) {
    const next = placed.querySelector(`#${CSS.escape(fold.id)}`);
    if (next) next.open = fold.open;
  }
};

// Listeners keep replaced rows in memory, so the page is reloaded after this many refreshes.
const MAX_PLACINGS = 200;
let placings = 0;
const placedHtml = new WeakMap();
const place = (fresh) => {
  for (const part of parts()) {
    const next = fresh.getElementById(part.id);
    const html = next?.outerHTML.replace(/name="csrfmiddlewaretoken" value="\w+"/g, "");
    if (!next || html === placedHtml.get(part) || atWork(part)) continue;
    const placed = document.importNode(next, true);
    keepFolds(part, placed);
    const focused = part.contains(document.activeElement) ? document.activeElement : null;
    part.replaceWith(placed);
    const heir = focused && (sameAs(focused, placed) ?? inPlaceOf(focused, part, placed));
    // After SimpleBar has moved the rows into its wrapper, which takes the focus from them.
    if (heir) queueMicrotask(() => heir.focus({ preventScroll: true }));
    placedHtml.set(placed, html);
    window.htmx?.process(placed);
    const boxes = placed.querySelectorAll("tr input.action-select");
    if (boxes.length) window.Actions?.(boxes, { parent: placed.closest(".result-list-wrapper") });
    placings += 1;
    announce(placed);
  }
  if (placings > MAX_PLACINGS && !shownOf(document) && !parts().some(atWork)) location.reload();
};

// Announces a changed line of state to screen readers, only if it is new.
let announced = null;
const announce = (part) => {
  const line = part.querySelector("[data-live-status]")?.textContent.replace(/\s+/g, " ").trim();
  const news = document.getElementById("npd-live-news");
  if (!news || !line || line === announced) return;
  if (announced !== null) news.textContent = line;
  announced = line;
};

const valueOf = (field) => (field.type === "checkbox" ? (field.checked ? "yes" : "") : field.value);
const fieldOf = (name) => document.getElementById(`id_${name}`);

// Puts a new value into an untouched field; for a touched field, offers it below.
const merge = (fresh) => {
  const input = shownOf(document);
  const now = stored(shownOf(fresh));
  const edits = JSON.parse(shownOf(fresh)?.dataset.edits || "{}");
  const shown = stored(input);
  const changed = Object.keys(shown).filter((name) => name in now && now[name] !== shown[name] && fieldOf(name));
  for (const line of document.querySelectorAll(".npd-changed:not([data-taken])")) {
    if (!changed.includes(line.dataset.field)) line.remove();
  }
  if (!input || !changed.length) return;
  for (const name of changed) {
    const field = fieldOf(name);
    const here = plain(valueOf(field));
    const isTaken = here === plain(shown[name]) && document.activeElement !== field;
    const label = fresh.getElementById(field.id)?.selectedOptions?.[0]?.text ?? now[name];
    if (isTaken) {
      showChange(field, isTaken, edits[name], shown[name], field.selectedOptions?.[0]?.text);
      window.npdTake(field, now[name], label);
      if (field.type === "checkbox") field.defaultChecked = now[name] !== "";
      else if ("defaultValue" in field) field.defaultValue = now[name];
    } else if (here !== plain(now[name])) {
      showChange(field, isTaken, edits[name], now[name], label);
      continue;
    } else {
      changeOf(name)?.remove();
    }
    shown[name] = now[name];
  }
  input.value = JSON.stringify(shown);
};

const changeOf = (name) => document.querySelector(`.npd-changed[data-field="${name}"]`);

// Shows below a changed field the value that it doesn't show, with a button that loads it.
const showChange = (field, isTaken, by, value, text = value) => {
  const shownValue = field.type === "checkbox" ? (value ? "on" : "off") : value && text;
  const name = field.name;
  const old = changeOf(name);
  if (!isTaken && old?.dataset.value === value) return;
  old?.remove();
  const line = document.getElementById("npd-live-change").content.firstElementChild.cloneNode(true);
  Object.assign(line.dataset, { field: name, value }, isTaken && { taken: "" });
  line.querySelector("[data-text]").textContent = shownValue.length > 200 ? `“${shownValue.slice(0, 200)}…”` : shownValue ? `“${shownValue}”` : "empty";
  line.querySelector("[data-by]").textContent = by ?? "by somebody";
  line.querySelector("[data-when]").textContent = isTaken ? "was" : "now";
  const button = line.querySelector("button");
  button.textContent = isTaken ? "Put it back" : "Load it";
  Object.assign(button.dataset, { npdTake: field.id, value, label: text });
  button.addEventListener("click", () => {
    const input = shownOf(document);
    if (!isTaken) input.value = JSON.stringify({ ...stored(input), [name]: value });
    line.remove();
  });
  (document.getElementById(`${field.id}_helptext`)?.parentElement ?? field.parentElement).append(line);
  const label = document.querySelector(`label[for="${field.id}"]`)?.textContent.replace(/[:*]\s*$/, "").trim() ?? name;
  document.getElementById("npd-live-news").textContent = `${label}: ${line.innerText}`;
};

const SECRET = "input[name=csrfmiddlewaretoken]";
const renewSecrets = (fresh) => {
  const secret = fresh.querySelector(SECRET)?.value;
  if (secret) for (const input of document.querySelectorAll(SECRET)) input.value = secret;
};

// Says why the page is not kept up to date, or hides that line.
const sayStale = (why) => {
  const line = document.getElementById("npd-stale");
  if (!line) return;
  for (const text of line.querySelectorAll("[data-stale]")) text.hidden = text.dataset.stale !== why;
  line.hidden = !why;
};

class SignedOut extends Error {}
class Gone extends Error {}

const refresh = async () => {
  const page = location.href;
  const answer = await fetch(page, { headers: { "X-NPD-Live": "1" } });
  if (answer.url.includes("/login/") || answer.status === 403) throw new SignedOut();
  if (!answer.ok) throw new Error(String(answer.status));
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  // If the address has changed meanwhile, the answer is about another page.
  if (location.href !== page) return;
  // The page of what was deleted redirects to the list; it stays, because somebody may have typed something.
  if (answer.redirected) throw new Gone();
  renewSecrets(fresh); // after another sign-in, forms need the new CSRF token
  place(fresh);
  merge(fresh);
};

// Without an answer (signed out, the server restarts) the page asks more and more rarely.
const SAID_AFTER = 2; // failures in a row
let failures = 0;
let timer = 0;
const again = (delay) => {
  clearTimeout(timer);
  timer = setTimeout(run, delay);
};
const run = async () => {
  if (document.hidden) return;
  try {
    await refresh();
    failures = 0;
    sayStale("");
  } catch (error) {
    if (error instanceof Gone) return sayStale("gone");
    failures += 1;
    if (failures >= SAID_AFTER) sayStale(error instanceof SignedOut ? "signed-out" : "unanswered");
  }
  again(delay() * 2 ** Math.min(failures, 5));
};
const delay = () => (document.querySelector("[data-live-quick]") ? QUICK : EVERY);

document.addEventListener("DOMContentLoaded", () => {
  // Other pages show nothing that changes by itself.
  if (!document.querySelector("main [data-live], #changelist-form")) return;
  document.addEventListener("visibilitychange", () => !document.hidden && again(0));
  parts().forEach(announce);
  again(delay());
});
