// The page of a batch: fetches itself until nothing moves any more, then shows the finished page. Where the focus is,
// nothing is replaced. Without this script the refresh link does the same.
(() => {
  "use strict";
  const box = document.getElementById("cfl-batch");
  if (!box) return;
  const hide = () => {
    // The button stands outside of what is written anew, so that it keeps the focus; it goes when nothing waits any more.
    const waits = box.querySelector("[data-stoppable]") !== null;
    document.querySelectorAll("[data-stop]").forEach((part) => { part.hidden = !waits; });
  };
  const moves = () => box.querySelector("[data-moving]") !== null;

  const shown = new Map();

  // A reload would cut off a form on its way, and with it what the next page says.
  let leaving = false;
  document.addEventListener("submit", () => { leaving = true; });

  const ask = (wait) => setTimeout(async () => {
    let fresh = null;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html", "X-NPD-Live": "1" } });
      if (answer.ok && !answer.redirected) fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    } catch {
      // No connection just now: ask again.
    }
    if (leaving) return;
    for (const part of document.querySelectorAll("[data-batch]")) {
      // What has not changed is not written again: a screen reader would say it again.
      const html = fresh?.getElementById(part.id)?.innerHTML;
      if (html === undefined || html === shown.get(part) || part.contains(document.activeElement)) continue;
      shown.set(part, html);
      part.innerHTML = html;
    }
    if (fresh) {
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
