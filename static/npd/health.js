// Sync health keeps itself up to date: every half minute, by unfold's own htmx. It leaves the page alone while somebody
// is at work in it (the focus, an open table, marked text) or nobody looks.
const SECONDS = 30;
const page = () => document.getElementById("npd-health");
const headline = () => document.getElementById("npd-health-headline")?.lastChild?.textContent?.trim() ?? "";

const atWork = () => {
  const here = page();
  return (
    document.hidden ||
    !here ||
    here.contains(document.activeElement) ||
    here.querySelector("details[open]") !== null ||
    String(document.getSelection()) !== ""
  );
};

setInterval(() => {
  if (!atWork()) window.htmx.trigger(page(), "npd:refresh");
}, SECONDS * 1000);

let before = "";
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.target !== page()) return;
  before = headline();
  // Signed out meanwhile, the answer is another page; and while it came, somebody may have begun.
  if (!event.detail.xhr.responseText.includes('id="npd-health"') || atWork()) event.detail.shouldSwap = false;
});
document.addEventListener("htmx:afterSettle", () => {
  const news = document.getElementById("npd-health-news");
  if (news && before && headline() !== before) news.textContent = headline();
  before = "";
});
