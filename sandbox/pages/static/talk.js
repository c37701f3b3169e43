// Requests to the sandbox, and words to the person at the page.

export const board = document.body.dataset.board;
const person = document.getElementById("person");
const message = document.getElementById("message");
let timer = 0;

export async function send(path, content, method = "POST") {
  const answer = await reach(path, {
    method,
    headers: { "Content-Type": "application/json" },
    body: method === "DELETE" ? undefined : JSON.stringify(content),
  });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error || `HTTP ${answer.status}`);
  return body;
}

export async function reach(path, about) {
  try {
    return await fetch(path, about);
  } catch {
    throw new Error("The sandbox can't be reached. Is it running?");
  }
}

export function act(action, more) {
  return send("/_control/actions", { action, user_id: Number(person.value), ...more });
}

export function say(words, { bad = false, undo = false } = {}) {
  message.querySelector("[role=status]").textContent = words;
  message.querySelector("#undo").hidden = !undo;
  message.classList.toggle("bad", bad);
  message.hidden = false;
  clearTimeout(timer);
  timer = setTimeout(() => { message.hidden = true; }, bad || undo ? 9000 : 4000);
}

// What goes wrong is said, and the promise gives undefined.
export function attempt(promise) {
  return promise.catch((failure) => say(inShort(failure.message), { bad: true }));
}

export function inShort(words) {
  return words.split(". Please check our API")[0];
}

// Whom this page plays: its own choice first, so that two windows can be two people; else the last one's.
export function choosePerson(changed) {
  if (!person) return;
  const options = [...person.options].map((option) => option.value);
  const kept = sessionStorage.getItem("sandbox-person") ?? localStorage.getItem("sandbox-person");
  if (options.includes(kept)) person.value = kept;
  const show = () => {
    const name = me();
    const face = document.getElementById("face");
    face.textContent = name.split(" ").map((word) => word[0]).join("");
    face.className = `face c${options.indexOf(person.value)}`;
  };
  person.addEventListener("change", () => {
    sessionStorage.setItem("sandbox-person", person.value);
    localStorage.setItem("sandbox-person", person.value);
    show();
    changed(me());
  });
  show();
}

// The name of the person that is played.
export function me() {
  return person ? person.selectedOptions[0].text.split(",")[0] : "";
}
