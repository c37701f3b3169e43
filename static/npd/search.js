// Ctrl+K: finds and does what config/search.py offers. Arrows choose, Enter goes, Escape closes.
const TYPED = 120; // milliseconds after the last key

document.addEventListener("DOMContentLoaded", () => {
  const dialog = document.getElementById("npd-search");
  if (!dialog) return;
  const input = dialog.querySelector("input");
  const results = dialog.querySelector("[role=listbox]");
  const news = dialog.querySelector("[role=status]");
  const options = () => [...results.querySelectorAll("[role=option]")];
  let asked = null;
  let timer = 0;

  const choose = (number) => {
    const all = options();
    const at = all.length ? (number + all.length) % all.length : -1;
    all.forEach((option, place) => {
      option.id = `npd-option-${place}`;
      option.setAttribute("aria-selected", String(place === at));
    });
    input.setAttribute("aria-activedescendant", at < 0 ? "" : all[at].id);
    all[at]?.scrollIntoView({ block: "nearest" });
  };
  const chosen = () => options().findIndex((option) => option.getAttribute("aria-selected") === "true");

  const find = async () => {
    asked?.abort();
    asked = new AbortController();
    const query = new URLSearchParams({ s: input.value.trim(), from: location.pathname + location.search });
    try {
      const answer = await fetch(`${dialog.dataset.address}?${query}`, { signal: asked.signal, redirect: "error" });
      if (!answer.ok) throw new Error(String(answer.status));
      results.innerHTML = await answer.text();
      // That nothing was found is no entry of the list.
      const nothing = results.querySelector("[data-nothing]");
      results.hidden = nothing !== null;
      input.setAttribute("aria-expanded", String(!nothing));
      news.className = nothing ? "npd-search-nothing" : "npd-hidden";
      news.replaceChildren(...(nothing?.childNodes ?? [String(options().length)]));
      nothing?.remove();
      choose(0);
    } catch (error) {
      // Signed out, or the server restarts: the page itself says so.
      if (error.name !== "AbortError") results.replaceChildren();
    }
  };

  let finding = Promise.resolve();
  const findNow = () => {
    clearTimeout(timer);
    timer = 0;
    return (finding = find());
  };
  // What was found for fewer letters than were typed is not what Enter means.
  const go = async () => {
    await (timer ? findNow() : finding);
    options()[chosen()]?.click();
  };

  const open = () => {
    if (dialog.open) return;
    input.value = "";
    results.replaceChildren();
    dialog.showModal();
    input.focus();
    findNow();
  };

  document.addEventListener("keydown", (event) => {
    if (event.key !== "k" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    if (dialog.open) dialog.close();
    else open();
  });
  document.addEventListener("click", (event) => event.target.closest("[data-npd-search]") && open());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());

  // What is typed here chooses nothing on the page below.
  dialog.addEventListener("keydown", (event) => {
    event.stopPropagation();
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if ((event.ctrlKey || event.metaKey) && event.key === "k") dialog.close();
    else if (step) choose(chosen() + step);
    else if (event.key === "Escape") dialog.close();
    else if (event.key === "Enter") go();
    else return;
    event.preventDefault();
  });
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(findNow, TYPED);
  });
  results.addEventListener("click", (event) => {
    const theme = event.target.closest("[data-theme]")?.dataset.theme;
    if (!theme) return;
    event.preventDefault();
    window.Alpine.$data(document.documentElement).adminTheme = theme;
    dialog.close();
  });
});
