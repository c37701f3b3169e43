// The drawer for demos: faults, webhook rules, clock, plan. Its inside comes from the sandbox, as things stand.

import { attempt, reach, say, send } from "./talk.js";

const button = document.getElementById("tools-button");
const drawer = document.getElementById("tools");
const inside = document.getElementById("tools-inside");
let timer = 0;

async function fill() {
  const answer = await reach("/tools");
  if (!answer.ok) return;
  // The place of the focus, as what was focused is put anew: by its words, else by its order.
  const focused = inside.contains(document.activeElement) ? document.activeElement : null;
  const place = [...inside.querySelectorAll("button, select")].indexOf(focused);
  inside.innerHTML = await answer.text();
  const stops = [...inside.querySelectorAll("button, select")];
  if (focused) (stops.find((stop) => stop.textContent === focused.textContent) ?? stops[place] ?? drawer).focus();
}

// Things may have changed: look again soon, if anybody sees it.
export function changed() {
  if (drawer?.hidden !== false) return;
  clearTimeout(timer);
  timer = setTimeout(() => attempt(fill()), 300);
}

async function toggle(show) {
  drawer.hidden = !show;
  button.setAttribute("aria-expanded", String(show));
  if (!show) {
    button.focus();
    return;
  }
  await attempt(fill());
  drawer.focus();
}

async function run(control, body) {
  const method = control.dataset.method || "POST";
  if (!await attempt(send(control.dataset.send, body, method))) return;
  say(control.tagName === "SELECT" ? `${control.selectedOptions[0].text}: set` : `${control.textContent}: done`);
  await attempt(fill());
}

export function start() {
  if (!button) return;
  button.addEventListener("click", () => toggle(drawer.hidden));
  document.getElementById("tools-close").addEventListener("click", () => toggle(false));
  drawer.addEventListener("keydown", (event) => {
    if (event.key === "Escape") toggle(false);
  });
  drawer.addEventListener("click", (event) => {
    const control = event.target.closest("button[data-send]");
    if (control) run(control, JSON.parse(control.dataset.body));
    if (event.target.id === "reset" && confirm("Delete all boards, items and webhooks of this sandbox?")) {
      attempt(send("/_control/reset", {}));
    }
  });
  drawer.addEventListener("change", (event) => {
    if (event.target.matches("select[data-send]")) run(event.target, JSON.parse(event.target.value));
  });
}
