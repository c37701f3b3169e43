// Until the icons' font is loaded, their names would be visible.
document.documentElement.dataset.iconless = "";
document.fonts.load('1em "Material Symbols Outlined"').then(() => delete document.documentElement.dataset.iconless, () => {});

// Sends the browser's time zone to the server, for the times of the next pages (config/navigation.py).
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone && !document.cookie.split("; ").includes(`npd_zone=${zone}`)) {
  const secure = location.protocol === "https:" ? "; secure" : "";
  document.cookie = `npd_zone=${zone}; path=/admin; max-age=31536000; samesite=lax${secure}`;
}

// Puts a stored value into a field of a form.
window.npdTake = (field, value, label) => {
  if (field.type === "checkbox") {
    field.checked = value !== "";
  } else {
    if (field.tagName === "SELECT" && ![...field.options].some((option) => option.value === value)) {
      field.add(new Option(label, value));
    }
    field.value = value;
  }
  // Autocomplete fields are drawn by select2, which only listens to jQuery's events.
  if (window.django && window.django.jQuery) window.django.jQuery(field).trigger("change");
};

// "take the new one": puts the stored value into the form, instead of the one typed.
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-npd-take]");
  const field = button && document.getElementById(button.dataset.npdTake);
  if (!field) return;
  window.npdTake(field, button.dataset.value, button.dataset.label);
  field.dispatchEvent(new Event("change", { bubbles: true }));
  field.focus();
});

// Keys of one letter or digit can be turned off (WCAG 2.1.4), for people whose hands or voice press them unasked.
const KEYS_OFF = "npd-keys-off";
window.npdIsTurnedOff = (key) => key.length === 1 && localStorage.getItem(KEYS_OFF) !== null;
const showKeys = () => {
  const isOff = window.npdIsTurnedOff("j");
  document.documentElement.toggleAttribute("data-keys-off", isOff);
  document.querySelector("[data-npd-keys]")?.setAttribute("aria-pressed", String(!isOff));
};
document.addEventListener("DOMContentLoaded", showKeys);
document.addEventListener("click", (event) => {
  if (!event.target.closest("[data-npd-keys]")) return;
  if (window.npdIsTurnedOff("j")) localStorage.removeItem(KEYS_OFF);
  else localStorage.setItem(KEYS_OFF, "");
  showKeys();
});

// An act on many records takes seconds: the button of its question says that it works, and isn't pressed twice.
document.addEventListener("submit", (event) => {
  const button = event.target.closest(".npd-question form")?.querySelector("[type=submit]");
  if (!button || event.defaultPrevented) return;
  if (button.ariaBusy) return event.preventDefault();
  button.ariaBusy = "true";
  button.dataset.words = button.textContent;
  button.textContent = "Working …";
});
// The page may come back as it was left.
window.addEventListener("pageshow", () => {
  for (const button of document.querySelectorAll(".npd-question [data-words]")) {
    button.textContent = button.dataset.words;
    button.ariaBusy = null;
  }
});

// Copies the text before the button. Not by navigator.clipboard, which browsers only have on https.
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-npd-copied]");
  if (!button) return;
  getSelection().selectAllChildren(button.previousElementSibling);
  if (!document.execCommand("copy")) return;
  button.textContent = button.nextElementSibling.textContent = button.dataset.npdCopied;
});

// select2 names its box by the chosen value, so an empty one has no name; it gets the field's label.
const nameAutocomplete = (container) => {
  const select = container.previousElementSibling;
  const box = container.querySelector(".select2-selection");
  const label = select?.labels?.[0] ?? select?.closest("div, fieldset")?.parentElement?.querySelector("label, h3");
  if (!box || !label) return;
  label.id ||= `npd-label-${select.id || select.name}`;
  const chosen = box.querySelector(".select2-selection__rendered");
  box.setAttribute("aria-labelledby", `${label.id} ${chosen?.id ?? ""}`.trim());
  chosen?.setAttribute("aria-labelledby", label.id);
};
new MutationObserver((changes) => {
  for (const node of changes.flatMap((change) => [...change.addedNodes])) {
    if (node.nodeType === Node.ELEMENT_NODE && node.matches(".select2-container--admin-autocomplete, .select2-container")) {
      nameAutocomplete(node);
    }
  }
}).observe(document.documentElement, { childList: true, subtree: true });

// Closes a menu on Escape, which moves the focus back to its button, on a click outside, and on a link to a new tab.
const openMenus = () => document.querySelectorAll("details.npd-menu[open]");
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of openMenus()) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});
// At the window's end, the page moves up with it.
document.addEventListener("toggle", (event) => {
  if (event.target.matches("details.npd-menu[open]")) {
    event.target.querySelector(".npd-menu-body").scrollIntoView({ block: "nearest" });
  }
}, true);
document.addEventListener("click", (event) => {
  const opensTab = event.target.closest("a[target=_blank]") !== null;
  for (const menu of openMenus()) if (opensTab || !menu.contains(event.target)) menu.open = false;
});

// While the panel of filters is open, only it, dialogs, and what it draws beside itself can be reached.
let heldOpen = false;
window.npdHold = (sheet, isOpen) => {
  if (isOpen === heldOpen) return;
  heldOpen = isOpen;
  for (let element = sheet; element !== document.body; element = element.parentElement) {
    for (const other of element.parentElement.children) {
      if (other !== element && !other.matches("script, dialog, .calendarbox, .clockbox")) other.inert = isOpen;
    }
  }
  const next = isOpen ? sheet.querySelector("button") : document.querySelector(".npd-filter-button");
  window.Alpine.nextTick(() => next?.focus());
};

// The theme “System” follows the system while a page is open; Alpine only notices a value that is set again.
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  const page = window.Alpine.$data(document.documentElement);
  if (page.adminTheme !== "auto") return;
  page.adminTheme = "";
  page.adminTheme = "auto";
});

// Makes Save the primary button once something was typed into a record (record.css).
const markTyped = (event) => {
  const row = document.getElementById("submit-row");
  if (row && event.target.form?.id === row.querySelector("[name=_save]")?.getAttribute("form")) row.dataset.typed = "";
};
document.addEventListener("input", markTyped);
document.addEventListener("change", markTyped);
// select2 reports a choice only by jQuery's events.
document.addEventListener("DOMContentLoaded", () => {
  window.django?.jQuery?.(document).on("select2:select select2:unselect select2:clear", markTyped);
});

// The link back from a page leads to its list with the filters it had, or to Home if the page was opened there.
const LEFT = "npd-list-left";
document.addEventListener("DOMContentLoaded", () => {
  const crumbs = [...document.querySelectorAll(".npd-crumb > a")];
  if (!document.querySelector(".npd-crumb-page")) {
    sessionStorage.setItem(LEFT, location.pathname + location.search);
    return;
  }
  const left = new URL(sessionStorage.getItem(LEFT) ?? "", location.href);
  const same = crumbs.find((link) => link.pathname === left.pathname);
  if (!same) return;
  same.search = left.search;
  document.querySelector(".npd-crumbs").classList.toggle("npd-crumbs-from-group", same === crumbs[0] && crumbs.length > 1);
});

// The skip link moves the focus without changing the address, in which unfold keeps a form's tab.
document.addEventListener("click", (event) => {
  const content = event.target.closest(".npd-skip") && document.getElementById("content");
  if (!content) return;
  event.preventDefault();
  content.tabIndex = -1;
  content.focus();
});

// Unfold's search (Ctrl+K): it is announced as a dialog, has all keys while it is open, and Enter opens the first result.
const mendedSearch = (search) => ({
  ...search,
  isEntered: false, // Enter was the last key; it may come before the results
  init() {
    this.$root.setAttribute("role", "dialog");
    this.$root.setAttribute("aria-label", "Search");
    this.$refs.searchInputCommand.placeholder = "Search people, organizations, pages";
    this.$root.addEventListener("input", (event) => {
      // Results of an earlier text stay on the screen, but aren't chosen.
      this.currentIndex = 0;
      // Unfold searches after a key, but a text may be pasted or dictated, too.
      event.target.dispatchEvent(new Event("keyup"));
    });
    this.$root.addEventListener("keydown", (event) => {
      this.isEntered = event.key === "Enter" && !event.isComposing;
      event.stopPropagation();
      if (event.key === "Escape" && event.target !== this.$refs.searchInputCommand) this.handleEscape();
    });
    // Before the page's own keys, such as those of Home.
    const takeKey = (event) => {
      if (!this.openCommandResults || this.$root.contains(event.target)) return;
      event.stopPropagation();
      this.focusField();
    };
    document.addEventListener("keydown", takeKey, true);
  },
  handleOpen() {
    if (this.$root.inert) return; // behind the panel of filters
    search.handleOpen.call(this);
    requestAnimationFrame(() => this.openCommandResults && this.focusField());
  },
  handleEscape() {
    this.el.replaceChildren();
    this.handleOutsideClick();
  },
  scrollToActiveItem() {
    // Not smoothly: the next key would interrupt it.
    this.items[this.currentIndex - 1]?.scrollIntoView({ block: "nearest" });
  },
  focusField() {
    // Alpine shows the search only with the next frame, and what is hidden can't be focused.
    this.$root.style.removeProperty("display");
    this.$refs.searchInputCommand.focus();
  },
  selectItem(...options) {
    if (this.items?.[this.currentIndex - 1]) search.selectItem.apply(this, options);
  },
  handleContentLoaded(event) {
    search.handleContentLoaded.call(this, event);
    const isOutdated = event.detail.requestConfig.parameters.s !== this.$refs.searchInputCommand.value;
    if (event.target.id !== "command-results" || isOutdated) return;
    this.currentIndex = 1;
    if (this.isEntered) this.selectItem();
  },
});
document.addEventListener("alpine:init", () => {
  const { searchCommand } = window;
  window.searchCommand = () => mendedSearch(searchCommand());
});
