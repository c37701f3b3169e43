"use strict";
/* Columns that were changed but not read so yet: what is imported would be another plan than the selects show. */
document.querySelectorAll("form[data-import-columns]").forEach((form) => {
  const selects = [...form.querySelectorAll("select")];
  const hint = form.querySelector("[data-import-changed]");
  const read = form.querySelector("button[type=submit]");
  const acts = [...document.querySelectorAll("[data-import-confirm] button")];
  const tell = () => {
    const changed = selects.some((one) => one.value !== one.dataset.was);
    hint.hidden = !changed;
    read.classList.toggle("npd-button-main", changed || !acts.length);
    acts.forEach((one) => { one.disabled = changed; });
  };
  form.addEventListener("change", tell);
  // A page that the browser kept has the choices that were made on it.
  window.addEventListener("pageshow", tell);
});
