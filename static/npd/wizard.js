"use strict";
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
