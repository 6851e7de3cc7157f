// The first page of a stranger: type or confirm the six digits.

import { ask, sentence } from "../api.js";
import { h } from "../dom.js";
import { word } from "../words.js";

class Pair extends HTMLElement {
  session = { claimed: true, https_port: null };
  code = "";

  connectedCallback() {
    const { claimed } = this.session;
    const help = h("p.quiet", {}, word(this.code ? "pair_link" : claimed ? "pair_member" : "pair_claim"));
    const code = h("input.code", { id: "code", name: "code", inputMode: "numeric", autocomplete: "one-time-code", maxLength: 12, required: true, value: this.code });
    const name = h("input", { id: "device-name", name: "name", maxLength: 64, autocomplete: "off", value: word(deviceName()) });
    const problem = h("p.error", { role: "alert" });
    const send = h("button.primary", { type: "submit" }, word("pair_send"));
    const tell = (/** @type {unknown} */ error) => {
      problem.textContent = sentence(error);
      code.select();
    };
    const submit = async (/** @type {Event} */ event) => {
      event.preventDefault();
      problem.textContent = "";
      send.disabled = true;
      try {
        await ask("POST", "/api/v1/pair", { code: code.value.replace(/\s/g, ""), name: name.value });
        this.dispatchEvent(new Event("paired"));
      } catch (error) {
        tell(error);
      }
      send.disabled = false;
    };
    const show = async () => {
      problem.textContent = "";
      try {
        await ask("POST", "/api/v1/pair/code");
        help.textContent = word("pair_shown");
        code.focus();
      } catch (error) {
        tell(error);
      }
    };
    this.append(
      h(
        "form.card",
        { onsubmit: submit, "aria-labelledby": "pair-title" },
        h("h2", { id: "pair-title" }, word(claimed ? "pair_title" : "pair_title_claim")),
        help,
        h("div.field", {}, h("label", { htmlFor: "code" }, word("pair_code")), code),
        h("div.field", {}, h("label", { htmlFor: "device-name" }, word("pair_name")), name),
        problem,
        h("div.row", {}, send, !claimed && h("button", { type: "button", onclick: show }, word("pair_show"))),
      ),
    );
    (this.code ? send : code).focus();
  }
}

function deviceName() {
  if (/iPad/.test(navigator.userAgent)) return "name_tablet";
  return /Mobi/.test(navigator.userAgent) ? "name_phone" : "name_computer";
}

customElements.define("magpie-pair", Pair);
