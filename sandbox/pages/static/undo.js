// Take back one's own last edits, newest first.

import { act, attempt, say } from "./talk.js";

const LONGEST = 50;
const edits = [];
const underWay = new Set();

// Remember how to take back an edit: an action and its content, and what to call it.
export function remember(words, action, more) {
  edits.push({ words, action, more });
  if (edits.length > LONGEST) edits.shift();
}

// An edit that is still on its way is the last one: undo waits for it.
export function during(saving) {
  const settled = saving.catch(() => {}).finally(() => underWay.delete(settled));
  underWay.add(settled);
  return saving;
}

// One after another, in the order of the keys: two at once could arrive in either.
let turn = Promise.resolve();

export function undo() {
  turn = turn.then(takeBack);
  return turn;
}

async function takeBack() {
  await Promise.all(underWay);
  const last = edits.pop();
  if (!last) {
    say("There is nothing to undo");
    return;
  }
  if (await attempt(act(last.action, last.more))) say(`Undone: ${last.words}`);
}

export function start() {
  document.getElementById("undo").addEventListener("click", undo);
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select");
    if (event.key === "z" && (event.ctrlKey || event.metaKey) && !event.shiftKey && !typing) {
      event.preventDefault();
      undo();
    }
  });
}
