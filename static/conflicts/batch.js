// The page of a batch: asks how far it is until nothing moves any more, then shows the finished page.
// Without this script the refresh link does the same.
(() => {
  "use strict";
  const box = document.querySelector("[data-batch]");
  if (!box) return;
  const hide = () => {
    // The button stands outside of what is written anew, so that it keeps the focus; it goes when nothing waits any more.
    const waits = box.querySelector("[data-stoppable]") !== null;
    document.querySelectorAll("[data-stop]").forEach((part) => { part.hidden = !waits; });
  };
  const moves = () => box.querySelector("[data-moving]") !== null;

  // A reload would cut off a form on its way, and with it what the next page says.
  let leaving = false;
  document.addEventListener("submit", () => { leaving = true; });

  const ask = (wait) => setTimeout(async () => {
    let text = null;
    try {
      const answer = await fetch(box.dataset.batch, { headers: { Accept: "text/html" } });
      if (answer.ok && !answer.redirected) text = await answer.text();
    } catch {
      // No connection just now: ask again.
    }
    if (leaving) return;
    // What has not changed is not written again: a screen reader would say it again.
    if (text !== null && text.trim() !== box.dataset.last) {
      box.dataset.last = text.trim();
      box.innerHTML = text;
      hide();
      if (!moves()) return location.reload();
    }
    return ask(Math.min(wait * 1.2, 5000));
  }, wait);

  if (moves()) {
    hide();
    ask(700);
  }
})();
