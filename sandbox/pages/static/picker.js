// A list to choose from, with a search: one or several, and new ones where the column takes them.

import { attempt, board, reach } from "./talk.js";

const MOST_SHOWN = 200;
const SEARCH_MS = 150;
let numbers = 0;

export class Picker {
  // `done(refocus)` saves and closes; what was chosen before is in the cell.
  constructor(cell, done) {
    this.cell = cell;
    this.done = done;
    this.chosen = JSON.parse(cell.dataset.chosen || "[]");
    this.made = [];
    this.before = JSON.stringify(this.chosen);
    this.offer = { choices: [], multiple: false, makes_new: false, partial: false };
    this.place = -1;
    this.moved = false;
    this.build();
    attempt(this.ask(""));
  }

  build() {
    const id = `picker-${numbers += 1}`;
    this.root = document.createElement("div");
    this.root.className = "edit picked";
    this.main = document.createElement("input");
    this.main.className = "editor";
    this.main.placeholder = "Search";
    this.main.autocomplete = "off";
    for (const [name, value] of Object.entries({
      role: "combobox", "aria-expanded": "true", "aria-controls": id, "aria-autocomplete": "list",
    })) this.main.setAttribute(name, value);
    this.list = document.createElement("ul");
    this.list.id = id;
    this.list.className = "choices";
    this.list.setAttribute("role", "listbox");
    this.list.setAttribute("aria-label", "Choices");
    this.list.setAttribute("popover", "manual");
    this.root.append(this.main, this.list);
    this.main.addEventListener("input", () => {
      this.moved = false;
      clearTimeout(this.timer);
      if (this.offer.partial) this.timer = setTimeout(() => attempt(this.ask(this.main.value)), SEARCH_MS);
      this.show();
    });
    this.main.addEventListener("keydown", (event) => this.key(event));
    // The field keeps the focus while a choice is clicked.
    this.list.addEventListener("pointerdown", (event) => event.preventDefault());
    this.list.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) this.take(option);
    });
  }

  focus() {
    this.main.focus();
    this.list.showPopover();
    this.settle();
  }

  // Below the field, or above it where there is more room.
  settle() {
    const at = this.main.getBoundingClientRect();
    const width = Math.min(Math.max(at.width, 260), innerWidth - 16);
    const below = innerHeight - at.bottom;
    this.list.style.maxHeight = "none";
    const height = Math.min(320, this.list.scrollHeight + 2, Math.max(below, at.top) - 16);
    Object.assign(this.list.style, {
      width: `${width}px`,
      maxHeight: `${height}px`,
      left: `${Math.max(8, Math.min(at.left, innerWidth - width - 8))}px`,
      top: below >= height + 8 ? `${at.bottom + 4}px` : "auto",
      bottom: below >= height + 8 ? "auto" : `${innerHeight - at.top + 4}px`,
    });
  }

  async ask(words) {
    const query = new URLSearchParams({ column: this.cell.dataset.column, q: words });
    const answer = await reach(`/board/${board}/choices?${query}`);
    if (!answer.ok) return;
    this.offer = await answer.json();
    // Meanwhile more was typed: what the sandbox kept back for the older words may match the newer ones.
    if (this.offer.partial && this.main.value !== words) {
      await this.ask(this.main.value);
      return;
    }
    this.list.setAttribute("aria-multiselectable", String(this.offer.multiple));
    this.show();
  }

  matching() {
    const words = this.main.value.trim().toLowerCase();
    const has = (choice) => `${choice.name} ${choice.more}`.toLowerCase().includes(words);
    const found = this.offer.choices.filter(has);
    // What is chosen stands first, so that it is seen and can be taken off.
    const first = words ? [] : found.filter((choice) => this.chosen.includes(choice.key));
    return [...first, ...found.filter((choice) => !first.includes(choice))].slice(0, MOST_SHOWN);
  }

  show() {
    const words = this.main.value.trim();
    const found = this.matching();
    const options = found.map((choice) => this.option(choice));
    const made = this.made.filter((name) => name.toLowerCase().includes(words.toLowerCase()));
    options.unshift(...made.map((name) => this.option({ key: "", name, more: "new" }, true)));
    const known = this.offer.choices.some((choice) => choice.name.toLowerCase() === words.toLowerCase());
    if (words && this.offer.makes_new && !known && !this.made.includes(words)) {
      const add = this.option({ key: "", name: `Add “${words}”`, more: "" });
      add.dataset.made = words;
      options.push(add);
    }
    if (!options.length) options.push(this.nothing());
    this.list.replaceChildren(...options);
    this.settle();
    this.mark(words && !options[0].getAttribute("aria-disabled") ? 0 : -1);
  }

  nothing() {
    const line = document.createElement("li");
    line.className = "mute small";
    line.setAttribute("role", "option");
    line.setAttribute("aria-disabled", "true");
    line.textContent = this.main.value ? "Nothing matches." : "There is nothing to choose yet.";
    return line;
  }

  option(choice, isMade = false) {
    const line = document.createElement("li");
    numbers += 1;
    line.id = `choice-${numbers}`;
    line.setAttribute("role", "option");
    const on = isMade || (choice.key !== "" && this.chosen.includes(choice.key));
    line.setAttribute("aria-selected", String(on));
    line.dataset.key = choice.key;
    if (isMade) line.dataset.made = choice.name;
    const name = document.createElement("span");
    name.textContent = choice.name;
    if (choice.colour !== null && choice.colour !== undefined) name.className = `label c${choice.colour}`;
    const more = document.createElement("span");
    more.className = "mute small";
    more.textContent = choice.more;
    line.append(name, more);
    return line;
  }

  mark(place) {
    const options = [...this.list.children];
    options.forEach((option, index) => option.classList.toggle("at", index === place));
    this.place = place;
    if (place >= 0) {
      this.main.setAttribute("aria-activedescendant", options[place].id);
      options[place].scrollIntoView({ block: "nearest" });
    } else this.main.removeAttribute("aria-activedescendant");
  }

  key(event) {
    const count = this.list.children.length;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      this.moved = true;
      this.mark((this.place + (event.key === "ArrowDown" ? 1 : -1) + count) % count);
    } else if (event.key === "Enter" && !event.ctrlKey && !event.metaKey) {
      const option = this.list.children[this.place];
      if (option && (this.moved || this.main.value.trim())) {
        event.preventDefault();
        event.stopPropagation();
        this.take(option);
      }
    } else if (event.key === "Backspace" && !this.main.value && this.chosen.length + this.made.length) {
      if (this.made.length) this.made.pop();
      else this.chosen.pop();
      this.show();
    }
  }

  take(option) {
    if (option.getAttribute("aria-disabled")) return;
    const { key, made } = option.dataset;
    if (!this.offer.multiple) {
      const same = key && this.chosen.includes(key);
      this.chosen = same || made ? [] : [key];
      this.made = made ? [made] : [];
      this.done(true);
      return;
    }
    const list = made ? this.made : this.chosen;
    const word = made || key;
    if (list.includes(word)) list.splice(list.indexOf(word), 1);
    else list.push(word);
    this.main.value = "";
    this.moved = false;
    this.show();
    if (this.offer.partial) attempt(this.ask(""));
  }

  changed() {
    return JSON.stringify(this.chosen) !== this.before || this.made.length > 0;
  }

  content() {
    return { chosen: this.chosen, made: this.made };
  }
}
