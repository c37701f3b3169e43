"use strict";
/* Beside a field's column: what items say in it, of the column that is chosen now. */
document.querySelectorAll("select[data-says]").forEach((select) => {
  const name = select.dataset.says;
  const cells = document.querySelectorAll(`[data-says-of="${CSS.escape(name)}"]`);
  const show = () => {
    const { samples, values } = select.selectedOptions[0].dataset;
    if (cells.length) {
      // One cell a record, whose values come in the same order.
      const texts = JSON.parse(values || "[]");
      cells.forEach((cell, place) => { cell.textContent = texts[place] || "–"; });
    } else {
      document.getElementById(name).textContent = samples || "–";
    }
  };
  select.addEventListener("change", show);
  if (!select.selectedOptions[0].defaultSelected) show(); // chosen before this script ran
});
/* Beside a condition's field: the values that the field may have. No condition has none, and compares nothing. */
document.querySelectorAll("select[data-lists]").forEach((select) => {
  const text = document.getElementById(select.dataset.text);
  const offer = () => text.setAttribute("list", select.dataset.lists + select.value);
  offer();
  select.addEventListener("change", () => {
    offer();
    if (!select.value) {
      text.value = "";
      document.getElementById(select.dataset.op).selectedIndex = 0;
    }
  });
});
/* Who chooses a column wants the field synced; who chooses not to sync it wants no new column for it. */
document.querySelectorAll("select[data-column]").forEach((direction) => {
  const column = document.getElementById(direction.dataset.column);
  if (!column || column.tagName !== "SELECT") return;
  // Of a field that isn't synced neither direction nor rule says anything.
  const show = () => direction.closest(".npd-wizard-row").classList.toggle("npd-wizard-unsynced", !column.value);
  column.addEventListener("change", show);
  // A page that the browser kept has the choices that were made on it.
  window.addEventListener("pageshow", show);
  column.addEventListener("change", () => {
    if (column.value && direction.value === "none") direction.value = "bidirectional";
  });
  direction.addEventListener("change", () => {
    if (direction.value === "none" && column.value === "+") {
      column.value = "";
      column.dispatchEvent(new Event("change"));
    }
  });
});
/* A page that is about to be left by a step's link or loaded anew: what was chosen on it meanwhile is stored first. */
document.querySelectorAll("form[data-keep]").forEach((form) => {
  let touched = false;
  form.addEventListener("input", () => { touched = true; });
  document.querySelectorAll(".npd-wizard-steps a").forEach((link) => {
    link.addEventListener("click", async (event) => {
      if (!touched || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      const stored = { method: "POST", body: new FormData(form), redirect: "manual" };
      const answer = await fetch(form.action, stored).catch(() => null);
      // The page that it leads to isn't read here, so that what it has to say stands on the next one.
      if (answer && answer.type === "opaqueredirect") location.assign(link.href);
      else form.requestSubmit(form.querySelector("[data-keep-by]"));
    });
  });
  document.body.addEventListener("htmx:beforeOnLoad", (event) => {
    if (touched && event.detail.xhr.getResponseHeader("HX-Refresh")) {
      event.preventDefault();
      form.requestSubmit(form.querySelector("[data-keep-by]"));
    }
  });
});
