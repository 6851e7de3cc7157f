// Happy sync: the address to enter in its clients, whether they reached the box, who was let in.

import { ask, Refusal, sentence } from "../api.js";
import { blank, confirm, h, icon, iconButton, loading, qr, toast } from "../dom.js";
import { bytes, shortTime, word } from "../words.js";

/** Between two looks at who has called. */
const LOOK_MS = 3000;

class Happy extends HTMLElement {
  #address = h("div");
  #checks = h("div", { role: "status" });
  #accounts = h("div");
  #url = location.origin;
  #timer = 0;
  /** What was told last, so that a screen reader hears news alone. */
  #told = "";

  connectedCallback() {
    this.append(this.#address, this.#accounts);
    this.#accounts.append(loading());
    this.#load();
    this.#timer = setInterval(() => this.#load(), LOOK_MS);
  }

  disconnectedCallback() {
    clearInterval(this.#timer);
  }

  async #load() {
    let told;
    try {
      told = await ask("GET", "/api/v1/happy");
    } catch (error) {
      clearInterval(this.#timer);
      const [picture, title, text] = refusal(error);
      this.#address.replaceChildren();
      this.#accounts.replaceChildren(blank(picture, title, text));
      return;
    }
    if (this.#address.childElementCount === 0) await this.#showAddress();
    const news = this.#url + JSON.stringify(told);
    if (news === this.#told) return;
    this.#told = news;
    this.#showChecks(told.accounts.flatMap((/** @type {any} */ account) => account.devices));
    this.#showAccounts(told);
  }

  async #showAddress() {
    const { urls } = await ask("GET", "/api/v1/addresses").catch(() => ({ urls: [] }));
    const all = [...new Set([location.origin, ...urls])];
    const picture = h("div");
    const command = h("code.wrap");
    const show = async () => {
      command.textContent = `export HAPPY_SERVER_URL=${this.#url}`;
      const told = await ask("GET", `/api/v1/addresses?url=${encodeURIComponent(this.#url)}`).catch(() => ({ qr: [] }));
      picture.replaceChildren(...(told.qr.length > 0 ? [qr(told.qr, word("qr"))] : []));
    };
    const select = h("select", { id: "happy-url", onchange: () => {
      this.#url = select.value;
      show();
      this.#load();
    } }, ...all.map((url) => h("option", { value: url }, url)));
    this.#address.replaceChildren(
      h("p.quiet", {}, word("happy_text")),
      h("section.section", {}, h("h2", {}, word("happy_connect")), h("div.card.fields", {}, h("div.field", {}, h("label", { htmlFor: "happy-url" }, word("happy_url")), select), picture, h("p.small.quiet", {}, word("happy_app")), h("p.small.quiet", {}, word("happy_terminal")), command)),
      h("section.section", {}, h("h2", {}, word("happy_checks")), this.#checks),
    );
    await show();
  }

  /** @param {any[]} devices */
  #showChecks(devices) {
    const newest = (/** @type {string[]} */ kinds) => devices.filter((device) => kinds.includes(device.kind)).sort((a, b) => b.last_seen_at.localeCompare(a.last_seen_at))[0];
    const line = (/** @type {string} */ name, /** @type {any} */ device) => {
      const isElsewhere = device?.host && !this.#url.endsWith(`//${device.host}`);
      const how = !device ? word("happy_not_yet") : [device.connected ? word("happy_connected") : word("device_seen", { time: shortTime(device.last_seen_at) }), device.host && word("happy_as", { host: device.host })].filter(Boolean).join(" · ");
      return h("li.item", {}, icon(device ? "check" : "offline"), h("span.grow", {}, h("span.one", {}, word(name)), h("span.small.quiet", {}, how), isElsewhere && h("span.small", {}, word("happy_elsewhere"))));
    };
    this.#checks.replaceChildren(h("ul.list.flush", {}, line("happy_phone", newest(["phone", "linked"])), line("happy_cli", newest(["terminal"]))));
  }

  /** @param {any} told */
  #showAccounts({ registration, invites, accounts }) {
    const invite = registration === "invite" && h("div.row", {}, h("button", { type: "button", id: "happy-invite", onclick: () => this.#invite() }, icon("plus"), word("happy_invite")), invites > 0 && h("span.small.quiet", {}, word("happy_invites", { count: invites })));
    const devices = accounts.flatMap((/** @type {any} */ account) => account.devices.map((/** @type {any} */ device) => this.#device(account, device)));
    const room = h("ul.list.flush", { id: "happy-room" }, ...accounts.map((/** @type {any} */ account) => this.#room(account)));
    this.#accounts.replaceChildren(h("section.section", {}, h("h2", {}, word("happy_devices")), h("p.small.quiet", {}, word(`happy_registration_${registration}`)), invite, room, devices.length > 0 ? h("ul.list.flush", {}, ...devices) : h("p.quiet", {}, word("happy_nobody"))));
  }

  /** @param {any} account */
  #room(account) {
    const used = word("happy_used", { used: bytes(account.bytes), max: bytes(account.bytes_max) });
    const about = [used, account.keep_days > 0 && word("happy_keep", { count: account.keep_days })].filter(Boolean).join(" · ");
    const name = account.username ?? account.id;
    const [takeAlong, remove] = [`${word("export")}: ${name}`, `${word("device_remove")}: ${name}`];
    return h("li.item", {}, icon("chat"), h("span.grow", {}, h("span.one", {}, name), h("span.small.quiet", {}, about)), h("a.button.round", { href: `/api/v1/happy/accounts/${encodeURIComponent(account.id)}/export`, download: "", "aria-label": takeAlong, title: takeAlong }, icon("download")), iconButton("trash", remove, { onclick: () => this.#part(name, account.id) }));
  }

  /**
   * @param {string} name
   * @param {string} id
   */
  async #part(name, id) {
    if (!(await confirm({ title: word("device_remove_title", { name }), text: word("happy_account_remove_text"), action: word("device_remove"), cancel: word("cancel") }))) return;
    await ask("DELETE", `/api/v1/happy/accounts/${encodeURIComponent(id)}`).catch((error) => toast(sentence(error)));
    this.#load();
  }

  /**
   * @param {any} account
   * @param {any} device
   */
  #device(account, device) {
    const name = word(`happy_kind_${device.kind}`);
    const about = [account.username, device.agent, word("device_seen", { time: shortTime(device.last_seen_at) })].filter(Boolean).join(" · ");
    return h("li.item", {}, icon(device.kind === "terminal" ? "file" : "phone"), h("span.grow", {}, h("span.one", {}, name), h("span.small.quiet", {}, about)), iconButton("trash", `${word("device_remove")}: ${name}`, { onclick: () => this.#remove(name, device.id) }));
  }

  /**
   * @param {string} name
   * @param {string} id
   */
  async #remove(name, id) {
    if (!(await confirm({ title: word("device_remove_title", { name }), text: word("happy_remove_text"), action: word("device_remove"), cancel: word("cancel") }))) return;
    await ask("DELETE", `/api/v1/happy/devices/${encodeURIComponent(id)}`).catch((error) => toast(sentence(error)));
    this.#load();
  }

  async #invite() {
    await ask("POST", "/api/v1/happy/invites", {}).catch((error) => toast(sentence(error)));
    this.#load();
  }
}

/**
 * @param {unknown} error
 * @returns {[string, string, string]}
 */
function refusal(error) {
  if (error instanceof Refusal && error.status === 403) return ["shield", word("only_admin"), ""];
  if (error instanceof Refusal && error.isMissing) return ["phone", word("happy_off"), word("happy_off_text")];
  return ["offline", word("not_loaded"), sentence(error)];
}

customElements.define("magpie-happy", Happy);
