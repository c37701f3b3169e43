// The editor of a cell by the type of its column. Each has `root`, `main`, `focus`, `changed` and `content`,
// which gives what the action "edit" takes: text as typed, a value as the API has it, or what was picked.

import { Picker } from "./picker.js";
import { attempt, board, reach } from "./talk.js";

const PICKED = ["status", "dropdown", "people", "tags", "country", "board_relation"];
const MODES = { numbers: "decimal", email: "email", phone: "tel", link: "url" };

export function fieldFor(cell, done) {
  const { type } = cell.dataset;
  if (PICKED.includes(type)) return new Picker(cell, done);
  const form = FORMS[type] ? FORMS[type](valueOf(cell)) : FORMS.text(cell.dataset.value ? cell.textContent : "");
  return new Form(cell, form, type);
}

export function valueOf(cell) {
  return cell.dataset.value ? JSON.parse(cell.dataset.value) : null;
}

class Form {
  constructor(cell, { inputs, content }, type) {
    this.root = document.createElement("div");
    this.root.className = inputs.length > 1 ? "edit several" : "edit";
    this.inputs = inputs.map(({ label, main, ...about }) => this.input(cell, label, main, about));
    this.main = this.inputs[0];
    if (MODES[type]) this.main.inputMode = MODES[type];
    this.make = content;
    this.before = this.values().join("\n");
    if (type === "phone") attempt(this.offerCountries(cell));
  }

  input(cell, label, kind, about) {
    const tag = kind === "textarea" || kind === "select" ? kind : "input";
    const field = document.createElement(tag);
    if (tag === "input") field.type = kind || "text";
    if (tag === "textarea") field.rows = 4;
    field.className = this.root.children.length ? "extra" : "editor";
    const whole = cell.getAttribute("aria-label");
    field.setAttribute("aria-label", label ? `${label}, ${whole}` : whole);
    if (label) field.title = label;
    if (label && tag === "input" && field.type === "text") field.placeholder = label;
    if (about.length) field.maxLength = about.length;
    if (tag === "select") field.add(new Option(about.value || "Country", about.value));
    field.value = about.value ?? "";
    this.root.append(field);
    return field;
  }

  async offerCountries(cell) {
    const select = this.inputs[1];
    const query = new URLSearchParams({ column: cell.dataset.column });
    const answer = await reach(`/board/${board}/choices?${query}`);
    if (!answer.ok) return;
    const now = select.value;
    const { choices } = await answer.json();
    const known = choices.map((one) => new Option(`${one.name} (${one.key})`, one.key));
    select.replaceChildren(new Option("Country", ""), ...known);
    select.value = now;
  }

  focus() {
    this.main.focus();
    this.main.select?.();
  }

  values() {
    return this.inputs.map((field) => field.value.trim());
  }

  changed() {
    return this.values().join("\n") !== this.before;
  }

  content() {
    return this.make(...this.values());
  }
}

const day = (value) => (value ? value.slice(0, 5) : "");
const unlessEmpty = (first, value) => ({ value: first ? value : null });

// By type: the inputs, filled from the value, and what they come to. The first is the main one.
const FORMS = {
  text: (value) => ({ inputs: [{ value }], content: (text) => ({ text }) }),
  name: (value) => ({ inputs: [{ value, length: 255 }], content: (text) => ({ text }) }),
  numbers: (value) => ({ inputs: [{ value }], content: (text) => ({ text }) }),
  long_text: (value) => ({
    inputs: [{ main: "textarea", value: value?.text, length: 2000 }],
    content: (text) => ({ text }),
  }),
  email: (value) => ({
    inputs: [
      { value: value?.email, label: "Address" },
      { value: value && value.text !== value.email ? value.text : "", label: "Shown as" },
    ],
    content: (email, text) => ({ value: email || text ? { email, text: text || email } : null }),
  }),
  link: (value) => ({
    inputs: [
      { value: value?.url, label: "Address" },
      { value: value && value.text !== value.url ? value.text : "", label: "Shown as" },
    ],
    content: (url, text) => ({ value: url || text ? { url, text: text || url } : null }),
  }),
  phone: (value) => ({
    inputs: [
      { value: value?.phone, label: "Number" },
      { main: "select", value: value?.countryShortName ?? "", label: "Country" },
    ],
    // A country at the end of the number, as "+46 31 701 55 00 SE", goes before the one of the list.
    content: (number, country) => ({ text: /\s[A-Z]{2}$/.test(number) ? number : `${number} ${country}`.trim() }),
  }),
  date: (value) => ({
    inputs: [
      { main: "date", value: value?.date, label: "Day" },
      { main: "time", value: day(value?.time), label: "Time in UTC" },
    ],
    content: (date, time) => unlessEmpty(date, time ? { date, time: `${time}:00` } : { date }),
  }),
  timeline: (value) => ({
    inputs: [
      { main: "date", value: value?.from, label: "From" },
      { main: "date", value: value?.to, label: "To" },
    ],
    content: (from, to) => unlessEmpty(from || to, { from: from || to, to: to || from }),
  }),
  location: (value) => ({
    inputs: [
      { value: value?.address, label: "Address" },
      { value: value?.lat, label: "Latitude" },
      { value: value?.lng, label: "Longitude" },
    ],
    content: (address, lat, lng) => unlessEmpty(address || lat || lng, { lat, lng, address }),
  }),
};
