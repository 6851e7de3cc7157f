// Chromium as a phone or a desk has it: trusting the authority of the box alone, with a microphone
// that hears a file.

import { join } from "node:path";
import { chromium } from "playwright-core";

/** What the test that started this says: where the box is, what is spoken, where pictures go. */
export const { PAGE, PLAIN, CODE, SPOKEN, SHOTS, BROWSER_HOME } = process.env;
export const PHONE = { width: 390, height: 844 };
export const DESK = { width: 1280, height: 800 };

export function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    // Its certificates are those of this home.
    env: { ...process.env, HOME: BROWSER_HOME },
    args: [
      "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP magpie.local 127.0.0.1",
      "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--autoplay-policy=no-user-gesture-required",
      ...(SPOKEN ? [`--use-file-for-fake-audio-capture=${SPOKEN}`] : []),
    ],
  });
}

/** Asks the page until it says yes; Playwright's own waiting needs eval, which the page forbids.
 * The limit is for a machine that has much else to do. */
export async function until(page, question, argument, seconds = 120) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const answer = await page.evaluate(question, argument).catch((error) => {
      if (!/context was destroyed|navigation/.test(String(error))) throw error;
    });
    if (answer) return answer;
    if (Date.now() > end) throw new Error(`still not: ${question} ${JSON.stringify(argument) ?? ""}\n${await page.locator("body").innerText()}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Speaks, and waits until it was understood. Where the box itself says that the recogniser took
 * longer than it waits, it is asked once more, as its answer bids. */
export async function understood(page, speak) {
  const count = () => page.evaluate(() => ({ mine: document.querySelectorAll(".messages .mine:not(.part)").length, errors: document.querySelectorAll(".messages .error").length }));
  for (let turn = 1; ; turn++) {
    const before = await count();
    await speak();
    const told = await until(page, ({ mine, errors }) => {
      if (document.querySelectorAll(".messages .mine:not(.part)").length > mine) return "understood";
      const all = document.querySelectorAll(".messages .error");
      return all.length > errors && all[all.length - 1].textContent;
    }, before);
    if (told === "understood") return;
    if (turn > 1 || !/^It took too long/.test(told)) throw new Error(`not understood: ${told}`);
    console.log("asked once more: the machine is busy");
    await until(page, () => document.querySelector("#hold").dataset.phase === "idle");
  }
}

/** Errors of the page, and whatever it asked of anybody but the box. */
export function watch(page) {
  const complaints = [];
  const own = [PAGE, PLAIN].filter(Boolean).map((origin) => new URL(origin).host);
  page.on("pageerror", (error) => complaints.push(String(error.stack ?? error)));
  page.on("console", (message) => {
    if (/Content Security Policy|Refused to/.test(message.text())) complaints.push(message.text());
  });
  page.on("request", (request) => {
    const { host, protocol } = new URL(request.url());
    if (/^(http|ws)s?:$/.test(protocol) && !own.includes(host)) complaints.push(`asked ${request.url()}`);
  });
  return complaints;
}

/** Keeps what the loudspeaker of the page is given: samples, and when they are heard. */
export function tapLoudspeaker(page) {
  return page.addInitScript(() => {
    window.heard = [];
    const start = AudioBufferSourceNode.prototype.start;
    AudioBufferSourceNode.prototype.start = function (when = 0, ...rest) {
      const piece = { when, length: this.buffer.duration, rate: this.buffer.sampleRate, samples: [...this.buffer.getChannelData(0)], over: false };
      this.addEventListener("ended", () => (piece.over = true));
      window.heard.push(piece);
      const stop = this.stop;
      this.stop = (...args) => {
        piece.over = true;
        return stop.apply(this, args);
      };
      return start.call(this, when, ...rest);
    };
  });
}

export const shot = (page, name) => page.screenshot({ path: join(SHOTS, `${name}.png`) });

/** Pairs by the code that the box shows. */
export async function pair(page, code = CODE) {
  await page.goto(`${PAGE}/#claim=${code}`);
  await page.waitForSelector("magpie-pair form");
  await page.click("magpie-pair button[type=submit]");
  await connected(page);
}

export const connected = (page) => until(page, () => document.querySelector("#connection")?.dataset.state === "open" && document.querySelector("magpie-talk") !== null);
