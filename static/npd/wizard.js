"use strict";
/* Offers the chosen field's values beside a condition; an empty condition has none. */
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
/* Choosing a column turns the field's sync on; choosing no direction drops a new column. */
document.querySelectorAll("select[data-column]").forEach((direction) => {
  const column = document.getElementById(direction.dataset.column);
  if (!column || column.tagName !== "SELECT") return;
  // Direction and rule mean nothing for a field that isn't synced.
  const show = () => direction.closest(".npd-wizard-row").classList.toggle("npd-wizard-unsynced", !column.value);
  column.addEventListener("change", show);
  // A page from the browser's cache still has the choices made on it.
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
