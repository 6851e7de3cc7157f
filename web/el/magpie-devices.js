// Who may speak with the box: paired devices, and a code for one more.

import { ask, Refusal, sentence } from "../api.js";
import { blank, confirm, h, icon, iconButton, loading, open, qr, toast } from "../dom.js";
import { shortTime, word } from "../words.js";

class Devices extends HTMLElement {
  session = { device_id: null };
  #list = h("div");

  connectedCallback() {
    this.append(h("p.quiet", {}, word("devices_text")), h("div.row.section", {}, h("button.primary", { type: "button", id: "device-add", onclick: () => this.#add() }, icon("plus"), word("device_add"))), this.#list);
    this.#list.append(loading());
    this.#load();
  }

  async #load() {
    try {
      const { devices } = await ask("GET", "/api/v1/devices");
      this.#list.replaceChildren(devices.length === 0 ? blank("phone", word("devices_empty")) : h("ul.list.flush.section", {}, ...devices.map((/** @type {any} */ device) => this.#line(device))));
    } catch (error) {
      const forbidden = error instanceof Refusal && error.status === 403;
      this.#list.replaceChildren(blank(forbidden ? "shield" : "offline", forbidden ? word("only_admin") : word("not_loaded"), forbidden ? "" : sentence(error)));
    }
  }

  /** @param {any} device */
  #line(device) {
    const isThis = device.id === this.session.device_id;
    const seen = device.last_seen_at ? word("device_seen", { time: shortTime(device.last_seen_at) }) : word("device_never");
    const admin = device.is_admin ?? device.admin;
    return h("li.item", {}, icon("phone"), h("span.grow", {}, h("span.one", {}, device.name), h("span.small.quiet", {}, [isThis && word("device_this"), admin && word("device_admin"), seen].filter(Boolean).join(" · "))), iconButton("trash", `${word("device_remove")}: ${device.name}`, { onclick: () => this.#remove(device, isThis) }));
  }

  /**
   * @param {any} device
   * @param {boolean} isThis
   */
  async #remove(device, isThis) {
    const sure = await confirm({ title: word("device_remove_title", { name: device.name }), text: word(isThis ? "device_remove_this" : "device_remove_text"), action: word("device_remove"), cancel: word("cancel") });
    if (!sure) return;
    try {
      await ask("DELETE", `/api/v1/devices/${device.id}`);
      if (isThis) location.reload();
    } catch (error) {
      toast(sentence(error));
    }
    this.#load();
  }

  async #add() {
    let told;
    try {
      told = await ask("POST", "/api/v1/devices/code", {});
    } catch (error) {
      toast(error instanceof Refusal && error.status === 403 ? word("only_admin") : sentence(error));
      return;
    }
    const left = h("p.small.quiet");
    const until = Date.now() + told.valid_for_s * 1000;
    const show = () => (left.textContent = word("code_left", { seconds: Math.max(0, Math.ceil((until - Date.now()) / 1000)) }));
    show();
    const timer = setInterval(show, 1000);
    const dialog = h(
      "dialog.sheet",
      { "aria-labelledby": "code-title" },
      h(
        "div.body",
        {},
        h("div.head", {}, h("h2", { id: "code-title" }, word("device_add")), iconButton("close", word("close"), { onclick: () => dialog.close() })),
        h("p", {}, word("device_add_text")),
        told.qr?.length > 0 && qr(told.qr, word("qr")),
        h("p.code", {}, `${told.code.slice(0, 3)} ${told.code.slice(3)}`),
        h("p.small.quiet.middle", {}, told.url.replace(/#.*/, "")),
        left,
      ),
    );
    await open(dialog);
    clearInterval(timer);
    this.#load();
  }
}

customElements.define("magpie-devices", Devices);
