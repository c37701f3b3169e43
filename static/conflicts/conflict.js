// The conflict screen: choices by key, the result column, and the progress of an earlier choice.
// Without this script everything still works by mouse, form and the refresh link.
(() => {
  "use strict";
  const form = document.getElementById("cfl-form");
  const rows = form ? [...form.querySelectorAll("[data-row]")] : [];
  const options = form ? [...form.querySelectorAll("[data-option]")] : [];
  const summary = document.querySelector("[data-summary]");
  const effects = JSON.parse(document.getElementById("cfl-effects").textContent);
  const ask = summary?.textContent.trim();
  let current = 0;
  // Asks before leaving a page with choices that weren't sent.
  let isChanged = Boolean(form && "kept" in form.dataset);
  const askToStay = (event) => isChanged && !isOver() && event.preventDefault();
  // Somebody else has resolved it meanwhile.
  const isOver = () => document.querySelector("#cfl-state[data-over]") !== null;
  const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
  const say = (text) => (summary.textContent = text);

  const radios = (row) => [...row.querySelectorAll("input[type=radio]")];
  const picked = (row) => row.querySelector("input[type=radio]:checked")?.value || "";
  const field = (row) => row.querySelector("input[type=text], textarea, output");
  const unified = (text) => text.replace(/\r\n?/g, "\n");
  const result = (row) => (picked(row) === "custom" ? field(row).value : row.dataset[picked(row)] || "");

  // The same table as Effect.of() on the server.
  const outcome = (row) => {
    const choice = picked(row);
    const value = unified(result(row));
    if (row.dataset.kind === "overwritten") {
      const changes = value !== unified(row.dataset.npd); // both sides hold what stands now
      return { npd: changes, monday: changes };
    }
    if (row.dataset.kind === "rejected" && choice === "npd") return { npd: false, monday: false }; // leaves both as they are
    const npd = choice !== "npd" && value !== unified(row.dataset.npd);
    const monday = choice !== "monday" && value !== unified(row.dataset.monday);
    return { npd, monday };
  };

  const where = ({ npd, monday }) => {
    const side = npd ? "npd" : "monday";
    return `→ ${npd && monday ? effects.both : effects[npd || monday ? side : "nothing"]}`;
  };

  // The side on which a choice removes a value.
  const emptied = (row) => {
    if (!picked(row) || unified(result(row))) return "";
    const { npd, monday } = outcome(row);
    return npd && monday ? "both" : (npd && "npd") || (monday && "monday") || "";
  };
  const places = { npd: "in NPD", monday: "on Monday", both: "on both sides" };
  const emptying = (removing) =>
    removing.length > 1 ? `Empty ${count(removing.length, "value")}` : `Empty ${removing[0].dataset.label} ${places[emptied(removing[0])]}`;

  const show = (row) => {
    const choice = picked(row);
    const shown = field(row);
    if (choice !== "custom") row.querySelector("[id^=written-]").textContent = "";
    if (choice && choice !== "custom") shown.value = row.dataset[choice] || (shown.matches("output") ? "(empty)" : "");
    shown.placeholder = choice ? "(empty)" : "";
    const line = row.querySelector("[data-where]");
    line.textContent = choice ? where(outcome(row)) : "";
    line.classList.toggle("cfl-removes", Boolean(emptied(row)));
  };

  // Choices that delete or empty have red buttons that say so; the server asks once more.
  const buttons = { alone: document.querySelector(".cfl-foot [name=resolve]"), next: document.querySelector("[data-next]") };
  const usual = { alone: buttons.alone?.textContent, next: buttons.next?.textContent };
  const nameButtons = (danger) => {
    document.querySelectorAll(".cfl-foot button").forEach((button) => button.classList.toggle("cfl-deletes", Boolean(danger)));
    buttons.alone.textContent = danger ? `${danger}…` : usual.alone;
    buttons.next.textContent = danger ? `${danger}, and next…` : usual.next;
  };

  const summarise = () => {
    const removing = rows.filter(emptied);
    nameButtons(removing.length ? emptying(removing) : "");
    const chosen = rows.filter(picked).map(outcome);
    const open = rows.length - chosen.length;
    const npd = chosen.some((changes) => changes.npd);
    const monday = chosen.some((changes) => changes.monday);
    const sentence = npd && monday ? "Changes NPD and Monday." : npd ? "Changes NPD only." : monday ? "Changes Monday only." : "Changes nothing.";
    const left = open ? ` ${count(open, "field")} ${open === 1 ? "stays" : "stay"} open.` : "";
    say(chosen.length ? `${sentence}${left}` : ask);
  };

  const mark = (index) => {
    current = index;
    rows.forEach((row, i) => row.classList.toggle("cfl-current", i === index));
  };

  const goTo = (index, scroll = true) => {
    mark(Math.max(0, Math.min(rows.length - 1, index)));
    const row = rows[current];
    (row.querySelector("input[type=radio]:checked") || radios(row)[0]).focus({ preventScroll: true });
    if (scroll) row.scrollIntoView({ block: "nearest" });
  };

  const pick = (row, choice) => {
    const radio = radios(row).find((input) => input.value === choice);
    if (!radio) return false;
    radio.checked = isChanged = true;
    show(row);
    summarise();
    return true;
  };

  const pickAll = (choice) => {
    rows.forEach((row) => pick(row, choice));
    goTo(current);
  };

  const edit = () => {
    const input = field(rows[current]);
    if (input.matches("output")) return; // this person may only choose a side
    input.focus();
    input.setSelectionRange(input.value.length, input.value.length);
  };

  const submit = () => {
    if (!form) return;
    if (rows.length && !rows.some(picked)) goTo(current);
    else if (options.length && !options.some((option) => option.checked)) options[0].focus();
    else form.requestSubmit(document.querySelector("button[name=next]"));
  };

  // Chooses a side for the focused field, or the option with this number.
  const choose = (side, number) => {
    if (!rows.length) options[number - 1]?.click();
    else if (side && pick(rows[current], side)) goTo(current + 1);
  };

  // Goes to the next or previous conflict, if another one waits.
  const leave = (where) => document.querySelector(`[data-${where}]`)?.click();

  // Undoes the last resolution, or the one on this page.
  const undo = () => {
    const undoForm = [...document.querySelectorAll("form[data-undo]")].find((candidate) => !candidate.inert);
    if (undoForm) return undoForm.requestSubmit();
    const line = summary || document.querySelector("[data-waits]");
    const isApplying = document.querySelector("[data-state=applying]") !== null;
    if (line) {
      line.textContent = isApplying
        ? "It can be undone once it is written."
        : "Nothing was resolved just now, so there is nothing to undo.";
    }
    return undefined;
  };

  const keys = {
    1: () => choose("npd", 1),
    2: () => choose("", 2),
    3: () => choose("monday", 3),
    b: () => choose("both"),
    j: () => (current < rows.length - 1 ? goTo(current + 1) : leave("after")),
    k: () => (current > 0 ? goTo(current - 1) : leave("before")),
    u: undo,
    Enter: submit,
  };

  const withModifier = (event) => event.ctrlKey || event.metaKey || event.altKey || event.isComposing;
  const typing = (target) => target.matches("input:not([type=radio]), textarea, select, [contenteditable]");
  // Enter on an element with its own action does that.
  const opens = (event) => event.key === "Enter" && event.target.closest("a, button, summary") !== null;

  // Enter resolves once every row has a choice; until then it moves to a row without one.
  const unchosen = () => {
    const after = rows.findIndex((row, i) => i > current && !picked(row));
    return after >= 0 ? after : rows.findIndex((row) => !picked(row));
  };
  const whileTyping = (event) => {
    const leaves = event.key === "Escape" || (event.key === "Enter" && event.target.matches("input"));
    if (!leaves || !event.target.closest("[data-row]")) return;
    event.preventDefault();
    if (event.key === "Escape") goTo(current);
    else if (unchosen() < 0) submit();
    else goTo(unchosen());
  };
  const showEnter = () => {
    const types = form.contains(document.activeElement) && typing(document.activeElement);
    const isHidden = types && (document.activeElement.matches("textarea") || unchosen() >= 0);
    document.querySelector(".cfl-foot [name=next] kbd").hidden = isHidden;
  };

  const onKey = (event) => {
    if (withModifier(event)) return;
    if (typing(event.target)) return whileTyping(event);
    if (opens(event) || !Object.hasOwn(keys, event.key) || window.npdIsTurnedOff(event.key)) return;
    event.preventDefault();
    keys[event.key]();
  };

  const startChoosing = () => {
    form.addEventListener("change", (event) => {
      if (event.target.type !== "radio") return;
      isChanged = true;
      show(event.target.closest("[data-row]"));
      summarise();
    });
    form.addEventListener("input", (event) => {
      if (!event.target.matches("input[type=text], textarea")) return;
      pick(event.target.closest("[data-row]"), "custom");
      showEnter();
    });
    // How a typed value will be written may be known only after another one was typed, or a side was chosen.
    form.addEventListener("htmx:beforeSwap", (event) => {
      const row = event.target.closest("[data-row]");
      const asked = event.detail.requestConfig.parameters[field(row).name];
      if (picked(row) !== "custom" || asked !== field(row).value) event.detail.shouldSwap = false;
    });
    form.addEventListener("focusin", (event) => {
      const row = event.target.closest("[data-row]");
      if (row) mark(rows.indexOf(row));
      showEnter();
    });
    form.addEventListener("focusout", (event) => event.relatedTarget || showEnter());
    document.querySelectorAll("[data-all]").forEach((button) => button.addEventListener("click", () => pickAll(button.dataset.all)));
    rows.forEach(show);
    summarise();
    const wrong = rows.findIndex((row) => row.querySelector("[aria-invalid], .cfl-changed"));
    goTo(Math.max(0, wrong), wrong > 0);
    // A typed value that was rejected gets the focus.
    if (rows[current].querySelector("[aria-invalid]")) edit();
  };

  const summariseOption = () => {
    const chosen = options.find((option) => option.checked);
    const deletes = Boolean(chosen && "deletes" in chosen.dataset);
    say(chosen ? chosen.dataset.label : ask);
    nameButtons(deletes ? chosen.dataset.label : "");
  };

  const startOptions = () => {
    form.addEventListener("change", () => {
      isChanged = true;
      summariseOption();
    });
    summariseOption();
  };

  // Sends once, however often Enter is pressed, because a second resolution would find the first one.
  let isSent = false;
  window.addEventListener("pageshow", () => (isSent = false));
  form?.addEventListener("submit", (event) => {
    if (isSent || isOver()) return event.preventDefault();
    isSent = !event.defaultPrevented;
    isChanged = false;
    return undefined;
  });
  window.addEventListener("beforeunload", askToStay);
  if (rows.length) startChoosing();
  else if (options.length) startOptions();
  document.addEventListener("keydown", onKey);
})();
