// Making elements, and lists of them that keep what has not changed.

/** @typedef {Node | string | number | null | undefined | false} Child */

/**
 * An element: `h("button.primary", { onclick, type: "button" }, "Send")`. A function is a
 * listener, what the element knows as a property is set as one, the rest are attributes.
 * @param {string} name
 * @param {Record<string, any>} [props]
 * @param {...(Child | Child[])} children
 * @returns {any}
 */
export function h(name, props = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag);
  if (classes.length > 0) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null) continue;
    if (typeof value === "function") element.addEventListener(key.slice(2), value);
    else if (key in element && !key.startsWith("aria") && key !== "list" && key !== "role") /** @type {any} */ (element)[key] = value;
    else if (value !== false) element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false).map((child) => (child instanceof Node ? child : String(child))));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/**
 * A picture of `icons.svg`; it says nothing to a screen reader.
 * @param {string} name
 */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", "icon");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `/icons.svg#${name}`);
  svg.append(use);
  return svg;
}

/**
 * A QR code.
 * @param {string[]} rows of `0` and `1`
 * @param {string} label
 */
export function qr(rows, label) {
  const path = rows.map((row, y) => [...row].map((cell, x) => (cell === "1" ? `M${x} ${y}h1v1h-1z` : "")).join("")).join("");
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "qr");
  svg.setAttribute("viewBox", `0 0 ${rows.length} ${rows.length}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", label);
  svg.setAttribute("shape-rendering", "crispEdges");
  const modules = document.createElementNS(SVG, "path");
  modules.setAttribute("d", path);
  svg.append(modules);
  return svg;
}

/**
 * A button that is a picture with a name.
 * @param {string} name
 * @param {string} label
 * @param {Record<string, any>} [props]
 */
export function iconButton(name, label, props = {}) {
  return h("button.round", { type: "button", "aria-label": label, title: label, ...props }, icon(name));
}

/**
 * Makes `parent` hold one element an item, in order; an item whose `key` was there before keeps
 * its element, so that focus, playing sound and open menus stay.
 * @template T
 * @param {Element} parent
 * @param {T[]} items
 * @param {(item: T) => string} key
 * @param {(item: T) => Element} make
 */
export function list(parent, items, key, make) {
  const known = new Map([...parent.children].map((child) => [/** @type {HTMLElement} */ (child).dataset.key, child]));
  const wanted = items.map((item) => {
    const name = key(item);
    const made = known.get(name) ?? make(item);
    /** @type {HTMLElement} */ (made).dataset.key = name;
    return made;
  });
  for (const child of [...parent.children]) if (!wanted.includes(child)) child.remove();
  wanted.forEach((child, at) => {
    if (parent.children[at] !== child) parent.insertBefore(child, parent.children[at] ?? null);
  });
}

/**
 * The state of a view that has nothing to show: a picture, a sentence, and what may be done.
 * @param {string} picture
 * @param {string} title
 * @param {string} [text]
 * @param {...Child} actions
 */
export function blank(picture, title, text, ...actions) {
  return h("div.blank", {}, icon(picture), h("h2", {}, title), text && h("p", {}, text), actions.length > 0 && h("div.row", {}, ...actions));
}

/** Grey lines where something will stand. */
export function loading() {
  return h("div.loading", { "aria-hidden": "true" }, h("i"), h("i"), h("i"));
}

/**
 * Shows a dialog above everything and resolves when it is closed, with its `returnValue`.
 * @param {HTMLDialogElement} dialog
 * @returns {Promise<string>}
 */
export function open(dialog) {
  document.body.append(dialog);
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue);
    });
    dialog.showModal();
  });
}

/**
 * Asks before something that cannot be undone.
 * @param {{title: string, text?: string, action: string, cancel: string}} asked
 */
export async function confirm({ title, text, action, cancel }) {
  const dialog = h(
    "dialog.sheet",
    { "aria-labelledby": "confirm-title" },
    h(
      "form",
      { method: "dialog" },
      h("h2", { id: "confirm-title" }, title),
      text && h("p", {}, text),
      h("div.row.end", {}, h("button", { value: "no", autofocus: true }, cancel), h("button.danger", { value: "yes" }, action)),
    ),
  );
  return (await open(dialog)) === "yes";
}

/**
 * Asks for one line of text; `null` when it was cancelled.
 * @param {{title: string, value: string, action: string, cancel: string, max?: number}} asked
 */
export async function askText({ title, value, action, cancel, max = 200 }) {
  const input = h("input", { value, maxLength: max, autofocus: true, "aria-label": title });
  const dialog = h(
    "dialog.sheet",
    { "aria-label": title },
    h(
      "form",
      { method: "dialog" },
      h("h2", {}, title),
      input,
      h("div.row.end", {}, h("button", { value: "no", type: "button", onclick: () => dialog.close() }, cancel), h("button.primary", { value: "yes" }, action)),
    ),
  );
  return (await open(dialog)) === "yes" ? input.value.trim() : null;
}

let toastTimer = 0;

/**
 * Says a sentence at the foot of the page and to a screen reader, for some seconds.
 * @param {string} text
 * @param {Child} [action]
 */
export function toast(text, action) {
  const place = /** @type {HTMLElement} */ (document.getElementById("toast"));
  clearTimeout(toastTimer);
  place.replaceChildren(h("p", {}, text), ...(action ? [/** @type {Node} */ (action)] : []));
  place.classList.add("shown");
  toastTimer = setTimeout(() => {
    place.classList.remove("shown");
    place.replaceChildren();
  }, action ? 20000 : 5000);
}
