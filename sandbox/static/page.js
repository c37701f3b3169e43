// Shows what others changed: asks for the page again, and puts it in place unless somebody has begun to type.
let typing = false;
let shown = "";

addEventListener("input", () => { typing = true; });

setInterval(async () => {
  if (typing || document.hidden || document.querySelector("details[open]")) return;
  const answer = await fetch(location.href).catch(() => null);
  const text = answer?.ok ? await answer.text() : shown;
  if (typing || text === shown) return;
  shown = text;
  const focused = document.activeElement.id;
  const left = document.querySelector(".scroll")?.scrollLeft;
  const main = new DOMParser().parseFromString(text, "text/html").querySelector("main");
  document.querySelector("main").replaceWith(main);
  document.querySelector(".scroll")?.scrollTo({ left });
  document.getElementById(focused)?.focus({ preventScroll: true });
}, 2000);
