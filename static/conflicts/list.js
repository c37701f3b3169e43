// The list of conflicts: one click or key resolves a row where it stands, a toast says how far that is and undoes it.
// Without this script the buttons send their form, and the next page says the same.
(() => {
  "use strict";
  const told = document.getElementById("cfl-words");
  const toast = document.getElementById("cfl-toast");
  if (!told || !toast) return;
  const words = JSON.parse(told.textContent);
  const help = document.getElementById("cfl-help");
  const said = toast.querySelector("[data-said]");
  const undoButton = toast.querySelector("[data-undo-last]");

  const rows = () => [...document.querySelectorAll("#result_list tr.data-row")];
  const nameOf = (row) => row?.querySelector("a.cfl-name");
  const buttonOf = (row, key) => row?.querySelector(`button[data-key="${key}"]`);
  let current = ""; // the address of the current row's conflict: the list may be written anew under it

  const mark = () => rows().forEach((row) => row.classList.toggle("cfl-current", nameOf(row)?.href === current));
  const goTo = (row) => {
    if (!row) return;
    current = nameOf(row).href;
    mark();
    nameOf(row).focus({ preventScroll: true });
    row.scrollIntoView({ block: "nearest" });
  };
  const place = () => rows().findIndex((row) => nameOf(row)?.href === current);
  const step = (by) => goTo(rows()[Math.max(0, Math.min(rows().length - 1, place() + by))]);

  const say = (text, undoable = false) => {
    toast.hidden = false;
    said.textContent = text;
    undoButton.hidden = !undoable;
  };

  const post = async (address, values) => {
    const body = new URLSearchParams(values);
    body.set("csrfmiddlewaretoken", document.querySelector("#changelist-form [name=csrfmiddlewaretoken]").value);
    const answer = await fetch(address, { method: "POST", body, headers: { Accept: "application/json" }, redirect: "error" });
    return { done: answer.ok, ...(await answer.json()) };
  };

  const show = (row, text, isQuiet = false) => {
    const state = row.querySelector("td.field-since [data-state]");
    if (!state) return;
    state.querySelector(".npd-badge").lastChild.textContent = text;
    state.hidden = isQuiet;
  };

  // Until it is written, or came back: every 0.6 s at first, then more and more seldom. A click on another row ends it.
  let last = null;
  const follow = (one, wait) => setTimeout(async () => {
    if (last !== one) return;
    let found = null;
    try {
      const answer = await fetch(one.status, { headers: { Accept: "application/json" } });
      if (answer.ok) found = await answer.json();
    } catch {
      // No connection just now: ask again.
    }
    if (last !== one) return;
    if (!found?.final) return follow(one, Math.min(wait * 1.3, 10000));
    one.state = found.state;
    say(`${one.name}: ${found.sentence}`, found.undo);
    if (found.state === "settled") show(one.row, words.resolved);
    else stand(one);
    if (one.wanted && found.undo) undo();
  }, wait);

  // The row as it was, so that one can choose again.
  const stand = (one) => {
    one.row.querySelector("td.field-use_side")?.replaceChildren(...one.buttons);
    show(one.row, one.text, one.isQuiet);
    delete one.row.dataset.busy;
  };

  const use = async (button) => {
    const row = button.closest("tr");
    if (row.dataset.busy) return;
    row.dataset.busy = "1";
    const { status, undo } = button.dataset;
    const buttons = [...row.querySelector("td.field-use_side").childNodes];
    const state = row.querySelector("td.field-since [data-state]");
    const [text, isQuiet] = [state.querySelector(".npd-badge").lastChild.textContent, state.hidden];
    const one = { row, buttons, text, isQuiet, status, undo, name: nameOf(row).textContent };
    const next = rows()[rows().indexOf(row) + 1] ?? rows()[rows().indexOf(row) - 1];
    try {
      const found = await post(button.formAction, { seen: button.value });
      say(found.sentence);
      if (!found.done) return stand(one);
    } catch {
      say(words.offline);
      return stand(one);
    }
    last = one;
    show(row, words.applying);
    row.querySelector("td.field-use_side")?.replaceChildren();
    if (next) goTo(next);
    return follow(one, 600);
  };

  const undo = async () => {
    const one = last;
    if (!one || one.state === "undoing") return say(one ? said.textContent : words.nothing);
    if (one.state !== "settled") {
      one.wanted = true;
      return say(`${one.name}: ${words.later}`);
    }
    one.state = "undoing";
    one.wanted = false;
    undoButton.hidden = true;
    try {
      const found = await post(one.undo, {});
      say(found.sentence);
      if (found.done) show(one.row, words.undoing);
      return found.done ? follow(one, 600) : undefined;
    } catch {
      return say(words.offline);
    }
  };

  const press = (key) => {
    const row = rows()[place()];
    const button = buttonOf(row, key);
    if (button) use(button);
    else if (row) say(words.more);
    else step(1);
  };

  const keys = {
    j: () => step(1),
    k: () => step(-1),
    1: () => press("1"),
    3: () => press("3"),
    u: undo,
    "?": () => help.showModal(),
  };

  document.addEventListener("submit", (event) => {
    const button = event.submitter;
    if (!button?.matches("button[data-key]")) return;
    event.preventDefault();
    use(button);
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || document.querySelector("dialog[open]")) return;
    if (event.target.matches("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]")) return;
    if (!Object.hasOwn(keys, event.key)) return;
    event.preventDefault();
    keys[event.key]();
  });
  document.addEventListener("focusin", (event) => {
    const row = event.target.closest?.("#result_list tr.data-row");
    if (row && nameOf(row)) {
      current = nameOf(row).href;
      mark();
    }
  });
  undoButton.addEventListener("click", undo);
  toast.querySelector("[data-close]").addEventListener("click", () => (toast.hidden = true));
  // The page writes the list anew when something changed (static/npd/live.js).
  new MutationObserver(mark).observe(document.getElementById("content-main"), { childList: true, subtree: true });
})();
