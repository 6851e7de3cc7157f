// What has no place in the bar at the foot of a phone.

import { h, icon } from "../dom.js";
import { talk } from "../talk.js";
import { unsent } from "../unsent.js";
import { counted, word } from "../words.js";

class More extends HTMLElement {
  connectedCallback() {
    if (this.childElementCount > 0) return;
    const waiting = h("span.small.quiet");
    const show = () => {
      waiting.textContent = unsent.count > 0 ? counted("waiting", unsent.count) : "";
    };
    show();
    unsent.addEventListener("change", show);
    const item = (/** @type {string} */ href, /** @type {string} */ picture, /** @type {string} */ title, /** @type {any} */ end) => h("a.item", { href }, icon(picture), h("span.grow", {}, h("span", {}, title), end), icon("next"));
    this.append(
      h(
        "div.list.flush",
        {},
        item("#/queue", "tray", word("nav_queue"), waiting),
        item("#/box", "pulse", word("nav_box"), talk.link.isOpen ? null : h("span.small.error", {}, word("connection_closed"))),
        item("#/settings", "sliders", word("nav_settings"), null),
        item("#/devices", "phone", word("nav_devices"), null),
        item("/trust", "shield", word("nav_trust"), null),
      ),
    );
  }
}

customElements.define("magpie-more", More);
