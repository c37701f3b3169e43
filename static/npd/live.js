// Keeps an open page as the database is: asks for a version every second or so (config/live_updates.py), and where
// it is another one fetches the page and puts its live parts in their places. A part in which somebody is at work is
// left alone until they have finished; nobody is asked while the page is hidden.
const QUICK = 1000; // milliseconds: while a record is on its way, or has just been saved
const CALM = 4000;
const QUICK_FOR = 60_000;
const STALE = 30_000; // what is shown counts times ("3 minutes ago"): it is fetched so often in any case

let address = "";
const parts = () => [...document.querySelectorAll("[data-live][id], #changelist-form")];
const recordOf = (page) => page.querySelector("[data-live-record]")?.dataset.liveRecord;
const shownOf = (page) => page.querySelector("input[name=_shown]");
const stored = (input) => JSON.parse(input?.value || "{}");
const plain = (text) => String(text ?? "").replace(/\r\n?/g, "\n").trim();

let seen = null;
let quickUntil = Date.now() + QUICK_FOR;
let postponed = []; // the parts that were left alone, of a newer version
let fetched = Date.now();
let timer = 0;

let moved = 0; // rows must not move away under a pointer that is about to click
document.addEventListener("pointermove", () => (moved = Date.now()), { passive: true });

// A page that is about to be replaced stays as it is: the keys that are pressed meanwhile were meant for what it shows.
const LEAVING = 60_000; // at most: what is answered with a file replaces no page
let leftAt = -LEAVING;
document.addEventListener("submit", (event) => !event.defaultPrevented && (leftAt = Date.now()));

const atWork = (part) =>
  Date.now() - leftAt < LEAVING ||
  part.inert || // behind the sheet of filters: what took its place would be within reach
  (part.matches(":hover") && Date.now() - moved < 2000) ||
  (part.contains(document.activeElement) && !document.activeElement.matches("[data-live-focus]")) ||
  part.querySelector("details[open]:not([data-live-keep]), input[type=checkbox]:checked:is(.action-select, .npd-home-tick), .htmx-request") !== null ||
  [...part.querySelectorAll("input[type=text], textarea")].some((field) => field.value !== field.defaultValue) ||
  (String(document.getSelection()) !== "" && part.contains(document.getSelection().anchorNode)) ||
  [...document.querySelectorAll(".htmx-request")].some((element) => element.getAttribute("hx-target") === `#${part.id}`);

// What listens to rows that are gone keeps them in memory: after so many a page is loaded anew.
const MOST_PLACINGS = 200;
let placings = 0;

// What a person has folded open or shut (data-live-keep) stays so; where the keyboard is (data-live-focus), it stays.
const keepFolds = (part, placed) => {
  for (const fold of part.querySelectorAll("details[data-live-keep][id]")) {
    const next = placed.querySelector(`#${CSS.escape(fold.id)}`);
    if (next) next.open = fold.open;
  }
};

const placedHtml = new WeakMap();
const place = (fresh) => {
  postponed = [];
  for (const part of parts()) {
    const next = fresh.getElementById(part.id);
    const html = next?.outerHTML.replace(/name="csrfmiddlewaretoken" value="\w+"/g, "");
    if (!next || html === placedHtml.get(part)) continue;
    if (atWork(part)) {
      postponed.push(part);
      continue;
    }
    const placed = document.importNode(next, true);
    keepFolds(part, placed);
    const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
    part.replaceWith(placed);
    const still = focused && document.getElementById(focused);
    if (still) still.focus({ preventScroll: true });
    else if (focused) placed.dispatchEvent(new CustomEvent("npd-live-left", { bubbles: true, detail: { part, id: focused } }));
    placedHtml.set(placed, html);
    window.htmx?.process(placed);
    const boxes = placed.querySelectorAll("tr input.action-select");
    if (boxes.length) window.Actions?.(boxes, { parent: placed.closest(".result-list-wrapper") });
    placings += 1;
    announce(placed);
  }
};

// Says what changed to who can't see it: of the page's one line of state, and only something new.
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

// The form takes a new value where nobody has touched the field, else it is offered; below the field stands which.
const merge = async (fresh) => {
  const input = shownOf(document);
  const now = stored(shownOf(fresh));
  const shown = stored(input);
  const changed = Object.keys(shown).filter((name) => name in now && now[name] !== shown[name] && fieldOf(name));
  for (const line of document.querySelectorAll(".npd-changed:not([data-taken])")) {
    if (!changed.includes(line.dataset.field)) line.remove();
  }
  if (!input || !changed.length) return;
  const changes = await ask(changed);
  Object.assign(shown, stored(input)); // a line's button may have been pressed meanwhile
  for (const name of changed) {
    const field = fieldOf(name);
    const here = plain(valueOf(field));
    const isTaken = here === plain(shown[name]) && document.activeElement !== field;
    const label = fresh.getElementById(field.id)?.selectedOptions?.[0]?.text ?? now[name];
    if (isTaken) {
      showChange(field, changes, isTaken, shown[name], field.selectedOptions?.[0]?.text);
      window.npdTake(field, now[name], label);
      if (field.type === "checkbox") field.defaultChecked = now[name] !== "";
      else if ("defaultValue" in field) field.defaultValue = now[name];
    } else if (here !== plain(now[name])) {
      showChange(field, changes, isTaken, now[name], label);
      continue;
    } else {
      changeOf(name)?.remove();
    }
    shown[name] = now[name];
  }
  input.value = JSON.stringify(shown);
};

const changeOf = (name) => document.querySelector(`.npd-changed[data-field="${name}"]`);

// Below a field: who changed it meanwhile, and the value that it doesn't show now, with a button that loads it.
const showChange = (field, changes, isTaken, value, text = value) => {
  const shownValue = field.type === "checkbox" ? (value ? "on" : "off") : value && text;
  const name = field.name;
  const old = changeOf(name);
  if (!isTaken && old?.dataset.value === value) return;
  old?.remove();
  const line = document.getElementById("npd-live-change").content.firstElementChild.cloneNode(true);
  Object.assign(line.dataset, { field: name, value }, isTaken && { taken: "" });
  const author = changes.authors?.[name];
  line.querySelector("[data-on]").textContent = changes.on_monday?.includes(name) ? "on Monday" : "meanwhile";
  line.querySelector("[data-author]").textContent = author ? ` (${author})` : "";
  line.querySelector("[data-text]").textContent = shownValue.length > 200 ? `“${shownValue.slice(0, 200)}…”` : shownValue ? `“${shownValue}”` : "empty";
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

// Says whether another number was shown.
const showBadges = (badges) => {
  let isOther = false;
  for (const [path, html] of Object.entries(badges)) {
    for (const link of document.querySelectorAll("#nav-sidebar-apps a")) {
      if (new URL(link.href).pathname !== path) continue;
      const badge = link.querySelector("[data-badge]");
      const fresh = new DOMParser().parseFromString(html, "text/html").body;
      isOther ||= badge !== null && badge.textContent.trim() !== fresh.textContent.trim();
      badge?.replaceChildren(...fresh.childNodes);
    }
  }
  return isOther;
};

class SignedOut extends Error {}

const ask = async (changed = []) => {
  const query = new URLSearchParams();
  const record = recordOf(document);
  if (record) query.set("record", record);
  if (changed.length) query.set("changed", changed.join(","));
  const answer = await fetch(`${address}?${query}`, { headers: { Accept: "application/json" }, redirect: "manual" });
  if (answer.type === "opaqueredirect" || answer.status === 403) throw new SignedOut();
  if (!answer.ok) throw new Error(String(answer.status));
  return answer.json();
};

const SECRET = "input[name=csrfmiddlewaretoken]";
const renewSecrets = (fresh) => {
  const secret = fresh.querySelector(SECRET)?.value;
  if (secret) for (const input of document.querySelectorAll(SECRET)) input.value = secret;
};

// Says that the page is not kept up to date, and why; nothing where it is.
const sayStale = (why) => {
  const line = document.getElementById("npd-stale");
  if (!line) return;
  for (const text of line.querySelectorAll("[data-stale]")) text.hidden = text.dataset.stale !== why;
  line.hidden = !why;
};

const check = async () => {
  const versions = await ask();
  const isOther = showBadges(versions.badges);
  // The record was deleted: its page stays as it is, with what somebody may have typed.
  if (recordOf(document) && versions.record === undefined) return;
  if (placings > MOST_PLACINGS && !shownOf(document) && !parts().some(atWork)) return location.reload();
  const version = recordOf(document) ? versions.record : versions.site + JSON.stringify(versions.badges);
  // The first answer is what the page shows, unless something came about since it was made.
  const isNew = seen === null ? isOther : version !== seen;
  // Who has signed in again sends a form with another secret than the page was made with.
  const isBack = failures >= SAID_AFTER;
  if (isBack || (parts().length && (isNew || postponed.some((part) => !atWork(part)) || Date.now() - fetched > STALE))) {
    if (isNew) quickUntil = Date.now() + QUICK_FOR;
    fetched = Date.now();
    const page = location.href;
    const answer = await fetch(page, { headers: { "X-NPD-Live": "1" }, redirect: "manual" });
    if (location.href !== page) return; // somebody has chosen meanwhile what the page shows: the answer is of another one
    // What the page is about has become something else: the page leads there, and says so.
    if (answer.type === "opaqueredirect" && document.querySelector("[data-live-gone]")) return location.reload();
    if (answer.ok) {
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      renewSecrets(fresh);
      place(fresh);
      await merge(fresh);
    }
  }
  seen = version;
};

const again = (delay) => {
  clearTimeout(timer);
  timer = setTimeout(run, delay);
};

// An answer that can't be had (signed out, the server restarts) is asked for more and more rarely.
const SAID_AFTER = 2; // failures in a row
let failures = 0;
const run = async () => {
  if (document.hidden) return;
  try {
    await check();
    failures = 0;
    sayStale("");
  } catch (error) {
    failures += 1;
    if (failures >= SAID_AFTER) sayStale(error instanceof SignedOut ? "signed-out" : "unanswered");
  }
  const calm = recordOf(document) && Date.now() < quickUntil ? QUICK : CALM;
  again(calm * 2 ** Math.min(failures, 5));
};

document.addEventListener("DOMContentLoaded", () => {
  address = document.querySelector("meta[name=npd-live]")?.content;
  if (!address) return;
  document.addEventListener("visibilitychange", () => !document.hidden && again(0));
  parts().forEach(announce);
  // A record's page opens after a save, and is compared at once; of others the first answer is what they show.
  if (recordOf(document)) seen = "";
  again(QUICK / 4);
});
