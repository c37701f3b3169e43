"use strict";
/* Beside a field's column: what items say in it, of the column that is chosen now. */
document.querySelectorAll("select[data-says]").forEach((select) => {
  const says = document.getElementById(select.dataset.says);
  select.addEventListener("change", () => {
    says.textContent = select.selectedOptions[0].dataset.samples || "–";
  });
});
