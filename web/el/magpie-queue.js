// What waits: recordings still on this device, and work that the box has yet to do.

import { ask, Refusal, sentence } from "../api.js";
import { blank, confirm, h, icon, iconButton, loading, toast } from "../dom.js";
import { talk } from "../talk.js";
import { unsent } from "../unsent.js";
import { bytes, duration, hasWord, shortTime, word } from "../words.js";

const LOOK_MS = 10000;

class QueueView extends HTMLElement {
  #body = h("div");
  /** `null`: the box could not be asked, so nothing is known. @type {any[] | null} */
  #jobs = null;
  #isMissing = false;
  #timer = 0;
  #again = () => this.#load();

  connectedCallback() {
    this.append(this.#body);
    this.#body.append(loading());
    this.#load();
    this.#timer = setInterval(() => document.visibilityState === "visible" && this.#load(), LOOK_MS);
    unsent.addEventListener("change", this.#again);
    talk.addEventListener("job", this.#again);
    talk.link.addEventListener("open", this.#again);
    talk.link.addEventListener("closed", this.#again);
  }

  disconnectedCallback() {
    clearInterval(this.#timer);
    unsent.removeEventListener("change", this.#again);
    talk.removeEventListener("job", this.#again);
    talk.link.removeEventListener("open", this.#again);
    talk.link.removeEventListener("closed", this.#again);
  }

  async #load() {
    const local = await unsent.all().catch(() => []);
    try {
      const { jobs } = await ask("GET", "/api/v1/jobs?limit=200");
      this.#jobs = jobs.filter((/** @type {any} */ job) => job.state !== "done");
      this.#isMissing = false;
    } catch (error) {
      this.#isMissing = error instanceof Refusal && error.isMissing;
      this.#jobs = this.#isMissing ? [] : null;
    }
    if (this.isConnected) this.#draw(local);
    dispatchEvent(new Event("queue"));
  }

  /** @param {import("../unsent.js").Recording[]} local */
  #draw(local) {
    const jobs = this.#jobs;
    if (local.length === 0 && jobs?.length === 0) {
      this.#body.replaceChildren(blank("check", word("queue_empty"), word("queue_empty_text")));
      return;
    }
    const parts = [];
    if (jobs === null) parts.push(h("p.notice", {}, icon("offline"), h("span", {}, word(local.length > 0 ? "queue_unknown_local" : "queue_unknown"))));
    if (local.length > 0) {
      parts.push(h("section.section", {}, h("h2", {}, word("queue_here")), h("p.small.quiet", {}, word("queue_here_text")), h("ul.list.flush", {}, ...local.map((one) => this.#recording(one)))));
      parts.push(h("div.row.end", {}, h("button", { type: "button", onclick: () => unsent.send() }, icon("retry"), word("queue_send_now"))));
    }
    if (jobs && jobs.length > 0) {
      parts.push(h("section.section", {}, h("h2", {}, word("queue_box")), h("p.small.quiet", {}, word("queue_box_text")), h("ul.list.flush", {}, ...jobs.map((job) => this.#job(job)))));
    }
    this.#body.replaceChildren(...parts);
  }

  /** @param {import("../unsent.js").Recording} one */
  #recording(one) {
    const what = one.seconds > 0 ? word("queue_recording", { time: duration(one.seconds) }) : word("queue_file", { size: bytes(one.sound.byteLength) });
    const play = iconButton("play", word("play"), {
      onclick: () => {
        const player = h("audio", { controls: true, autoplay: true, src: URL.createObjectURL(new Blob([one.sound], { type: one.type })), "aria-label": what });
        play.replaceWith(player);
      },
    });
    return h(
      "li.item",
      {},
      h("span.grow", {}, h("span", {}, what), h("span.small.quiet", {}, shortTime(one.recorded_at)), one.error && h("span.small.error", {}, one.error)),
      play,
      one.refused && iconButton("retry", word("retry"), { onclick: () => unsent.retry(one.client_id) }),
      iconButton("trash", word("delete"), {
        onclick: async () => {
          if (await confirm({ title: word("queue_delete"), text: word("queue_delete_text"), action: word("delete_for_good"), cancel: word("cancel") })) await unsent.remove(one.client_id);
        },
      }),
    );
  }

  /** @param {any} job */
  #job(job) {
    const kind = `job_${job.kind}`;
    const state = `job_state_${job.state}`;
    const next = job.state === "queued" && job.attempts > 0 && job.next_at ? word("job_next", { time: shortTime(job.next_at) }) : "";
    const failed = job.state === "failed";
    const part = typeof job.progress === "number" ? job.progress : job.progress?.total ? job.progress.done / job.progress.total : null;
    return h(
      "li.item",
      {},
      h(
        "span.grow",
        {},
        h("span", {}, hasWord(kind) ? word(kind) : job.kind),
        h("span.small.quiet", {}, [hasWord(state) ? word(state) : job.state, shortTime(job.created_at), next].filter(Boolean).join(" · ")),
        job.last_error && h("span.small.error", {}, job.last_error),
        part !== null && progress(part),
      ),
      job.state !== "running" && iconButton("retry", word("retry"), { onclick: () => this.#do("POST", `/api/v1/jobs/${job.id}/retry`) }),
      iconButton("trash", word("delete"), {
        onclick: async () => {
          const text = word(failed || job.recording_id ? "job_delete_text" : "queue_delete_text");
          if (await confirm({ title: word("job_delete"), text, action: word("delete_for_good"), cancel: word("cancel") })) this.#do("DELETE", `/api/v1/jobs/${job.id}`);
        },
      }),
    );
  }

  /**
   * @param {string} method
   * @param {string} path
   */
  async #do(method, path) {
    try {
      await ask(method, path);
    } catch (error) {
      toast(sentence(error));
    }
    this.#load();
  }
}

/** @param {number} part */
function progress(part) {
  const bar = h("i");
  bar.style.width = `${Math.round(part * 100)}%`;
  return h("span.bar", { role: "progressbar", "aria-valuenow": String(Math.round(part * 100)), "aria-valuemin": "0", "aria-valuemax": "100", "aria-label": word("progress") }, bar);
}

customElements.define("magpie-queue", QueueView);
