// Something rings: over every view, with sound, until somebody stops it.

import { ask, sentence } from "../api.js";
import { h, icon, toast } from "../dom.js";
import { talk } from "../talk.js";
import { timeOfDay, word } from "../words.js";

const SNOOZE_S = 300;
const RING_MS = 2000;

class Ringing extends HTMLElement {
  #dialog = h("dialog.sheet", { "aria-labelledby": "ring-title" });
  #bell = 0;

  connectedCallback() {
    this.append(this.#dialog);
    this.#dialog.addEventListener("close", () => clearInterval(this.#bell));
    talk.addEventListener("timer", () => this.#look());
    talk.link.addEventListener("open", () => this.#look());
    this.#look();
  }

  async #look() {
    try {
      const { timers } = await ask("GET", "/api/v1/timers");
      const ringing = timers.find((/** @type {any} */ timer) => timer.state === "ringing");
      if (ringing) this.#show(ringing);
      else if (this.#dialog.open) this.#dialog.close();
    } catch {
      // A box without timers never rings.
    }
  }

  /** @param {any} timer */
  #show(timer) {
    const act = async (/** @type {Promise<any>} */ done) => {
      this.#dialog.close();
      try {
        await done;
      } catch (error) {
        toast(sentence(error));
      }
    };
    const path = `/api/v1/timers/${timer.id}`;
    this.#dialog.replaceChildren(
      h(
        "div.body",
        {},
        h("div.blank.ring", {}, icon("bell"), h("h2", { id: "ring-title" }, timer.label || word(`kind_${timer.kind}`)), h("p", {}, timeOfDay(timer.due_at))),
        h("div.row.center", {}, h("button", { type: "button", onclick: () => act(ask("POST", `${path}/snooze`, { duration: SNOOZE_S })) }, word("snooze")), h("button.primary", { type: "button", autofocus: true, onclick: () => act(ask("PATCH", path, { state: "done" })) }, word("ring_stop"))),
      ),
    );
    if (this.#dialog.open) return;
    this.#dialog.showModal();
    const ring = () => talk.player.beep([880, 660, 880]).catch(() => {});
    ring();
    this.#bell = setInterval(ring, RING_MS);
  }
}

customElements.define("magpie-ringing", Ringing);
