// Every view, empty and full, in both languages and colours: pictures, axe-core, the narrowest
// phone, and the keyboard alone.

import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { ask } from "./box.js";
import { CODE, DESK, PAGE, PHONE, PLAIN, connected, launch, pair, shot, until, watch } from "./browser.js";

const VIEWS = ["talk", "memories", "conversations", "timers", "queue", "box", "settings", "devices", "happy", "more"];
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const only = process.env.VIEWS_ONLY?.split(",");

const browser = await launch();
try {
  const context = await browser.newContext({ viewport: PHONE, locale: "en-GB", colorScheme: "light" });
  const page = await context.newPage();
  const complaints = watch(page);

  await page.goto(`${PAGE}/#claim=${CODE}`);
  await until(page, () => document.querySelector("magpie-pair form") !== null);
  await shot(page, "pair-phone-light-en");
  await inspect(page, "pair");
  await page.click("magpie-pair button[type=submit]");
  await connected(page);
  for (const view of VIEWS) {
    await show(page, view);
    await shot(page, `${view}-empty-phone-light-en`);
    await inspect(page, `${view} empty`);
  }

  await keyboardAlone(page);
  await fill();
  await page.reload();
  await connected(page);
  await changeTag(page);
  await changeVolume(page);
  const looks = [
    ["phone", PHONE, "light", "en"], ["phone", PHONE, "dark", "zh"], ["phone", PHONE, "dark", "en"], ["phone", PHONE, "light", "zh"],
    ["desk", DESK, "light", "en"], ["desk", DESK, "dark", "zh"],
  ];
  for (const [device, viewport, colorScheme, language] of looks) {
    await page.setViewportSize(viewport);
    await page.emulateMedia({ colorScheme });
    await page.evaluate((language) => localStorage.setItem("magpie", JSON.stringify({ ...JSON.parse(localStorage.getItem("magpie") ?? "{}"), language })), language);
    await page.reload();
    await connected(page);
    for (const view of [...VIEWS, "conversation", "memory"]) {
      await show(page, view);
      await shot(page, `${view}-${device}-${colorScheme}-${language}`);
      await unfold(page);
      if (view === "settings") {
        await page.evaluate(() => document.querySelector("#group-speech").scrollIntoView());
        await shot(page, `settings-open-${device}-${colorScheme}-${language}`);
      }
      await inspect(page, `${view} ${device} ${colorScheme} ${language}`);
      if (view !== "memory") continue;
      await page.keyboard.press("Escape");
      await until(page, () => document.querySelector("dialog[open]") === null && location.hash === "#/memories");
    }
  }

  // The narrowest phone, and one held sideways.
  for (const viewport of [{ width: 360, height: 640 }, { width: 640, height: 360 }]) {
    await page.setViewportSize(viewport);
    for (const view of VIEWS) {
      await show(page, view);
      const overflow = await page.evaluate(() => Math.max(...[document.documentElement, document.querySelector("main"), document.querySelector("main").lastElementChild].map((one) => one.scrollWidth - one.clientWidth)));
      assert.ok(overflow <= 0, `${view} at ${viewport.width} px is ${overflow} px too wide`);
      if (view === "talk") {
        const hold = await page.locator("#hold").boundingBox();
        assert.ok(hold.y + hold.height < viewport.height, "the button is on the screen");
      }
    }
    await show(page, "talk");
    await shot(page, `talk-${viewport.width}`);
  }

  // A page that is not secure: no microphone, but words and files, and the way to trust.
  const plain = await browser.newContext({ viewport: PHONE, locale: "en-GB", colorScheme: "light" });
  const insecure = await plain.newPage();
  watch(insecure);
  const address = PLAIN.replace("localhost", "magpie.local");
  const { code } = await ask("POST", "/api/v1/devices/code", {});
  await insecure.goto(`${address}/#claim=${code}`);
  await until(insecure, () => document.querySelector("magpie-pair form") !== null);
  await insecure.click("magpie-pair button[type=submit]");
  await connected(insecure);
  assert.equal(await insecure.evaluate(() => isSecureContext), false);
  assert.equal(await insecure.locator("#file[accept='audio/*'][capture]").count(), 1);
  assert.equal(await insecure.locator("#hold").count(), 0);
  await insecure.fill("#text", "what time is it");
  await insecure.press("#text", "Enter");
  await until(insecure, () => document.querySelector(".messages .box") !== null);
  await shot(insecure, "talk-insecure-phone-light-en");
  await inspect(insecure, "talk insecure");
  await insecure.goto(`${address}/trust`);
  await until(insecure, () => [...document.querySelectorAll("[data-trusted=yes]")].some((notice) => !notice.hidden));
  for (const colorScheme of ["light", "dark"]) {
    await insecure.emulateMedia({ colorScheme });
    await shot(insecure, `trust-phone-${colorScheme}-en`);
    await inspect(insecure, `trust ${colorScheme}`);
  }
  await insecure.click("#language");
  await shot(insecure, "trust-phone-dark-zh");
  assert.deepEqual(complaints, []);
} finally {
  await browser.close();
}

async function show(page, view) {
  if (view === "conversation") {
    await show(page, "conversations");
    await page.evaluate(() => document.querySelector("magpie-conversations .item").click());
    await until(page, () => document.querySelector("magpie-conversation .messages") !== null);
  } else if (view === "memory") {
    await show(page, "memories");
    await page.evaluate(() => document.querySelector("magpie-memories .card").click());
    await until(page, () => document.querySelector("dialog[open] textarea") !== null);
  } else {
    await page.evaluate((view) => (location.hash = `#/${view}`), view);
    await until(page, (view) => {
      const element = document.querySelector(`magpie-${view}`);
      return element && !element.hidden && element.childElementCount > 0 && !element.querySelector(".loading");
    }, view);
  }
  await page.waitForTimeout(250);
}

/** What is folded away is read too. */
function unfold(page) {
  return page.evaluate(() => {
    for (const folded of document.querySelectorAll("main details")) folded.open = true;
  });
}

/** A tag gets another name and colour where it narrows the list. */
async function changeTag(page) {
  await show(page, "memories");
  await until(page, () => [...document.querySelectorAll("magpie-memories .chips button")].some((chip) => chip.textContent === "#books"));
  await page.evaluate(() => [...document.querySelectorAll("magpie-memories .chips button")].find((chip) => chip.textContent === "#books").click());
  await until(page, () => document.querySelector("#tag-edit") !== null);
  await page.evaluate(() => document.querySelector("#tag-edit").click());
  await until(page, () => document.querySelector("dialog[open] #tag-name") !== null);
  await inspect(page, "tag dialog");
  await shot(page, "tag-dialog-phone-light-en");
  await page.fill("#tag-name", "reading");
  await page.fill("#tag-color", "#aa3300");
  await page.click("dialog[open] button[type=submit]");
  await until(page, () => document.querySelector("magpie-memories .chips [aria-pressed=true]")?.textContent === "#reading");
  const { tags } = await ask("GET", "/api/v1/tags");
  assert.equal(tags.find((tag) => tag.name === "reading")?.color, "#AA3300");
}

/** The box's volume is what its API says, before and after; what is offered to take along is there. */
async function changeVolume(page) {
  await show(page, "settings");
  await until(page, () => document.querySelector("#box-volume") !== null);
  assert.equal(await page.inputValue("#box-volume"), String((await ask("GET", "/api/v1/device/audio")).volume));
  await page.fill("#box-volume", "35");
  await page.evaluate(() => document.querySelector("#box-volume").dispatchEvent(new Event("change")));
  for (let tries = 0; (await ask("GET", "/api/v1/device/audio")).volume !== 35; tries++) {
    assert.ok(tries < 100, "the box takes the volume");
    await page.waitForTimeout(100);
  }
  const links = await page.evaluate(() => [...document.querySelectorAll("a[download]")].map((link) => link.getAttribute("href")));
  assert.equal(links.length, 2);
  for (const link of links) {
    const answer = await fetch(`${PLAIN}${link}`);
    assert.equal(answer.status, 200, link);
    assert.match(answer.headers.get("content-disposition") ?? "", /attachment/);
    assert.ok((await answer.arrayBuffer()).byteLength > 100, link);
  }
}

/** axe-core, which must come in by the debugger: the page lets no script in. */
async function inspect(page, where) {
  if (only && !only.some((name) => where.startsWith(name))) return;
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(axe);
  await settled(page);
  const findings = await page.evaluate(async () => {
    const { violations } = await window.axe.run(document, { resultTypes: ["violations"] });
    return violations.map(({ id, help, nodes }) => `${id}: ${help}\n  ${nodes.slice(0, 4).map((node) => `${node.html.slice(0, 160)} ${node.failureSummary?.split("\n")[1] ?? ""}`).join("\n  ")}`);
  });
  assert.deepEqual(findings, [], where);
}

/** A dialog that is still fading in has the contrast of a ghost: what comes to an end by itself has done so. */
async function settled(page) {
  await page.evaluate(() => Promise.allSettled(document.getAnimations().filter((animation) => animation.effect.getComputedTiming().endTime < Infinity).map((animation) => animation.finished)));
}

/** Without a mouse: skip, type, go to a view, come back, open the dialog and close it. */
async function keyboardAlone(page) {
  await show(page, "talk");
  await page.reload();
  await connected(page);
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
  await page.keyboard.press("Enter");
  const visited = [];
  for (let step = 0; step < 14; step++) {
    await page.keyboard.press("Tab");
    visited.push(await page.evaluate(() => document.activeElement.id || document.activeElement.className));
  }
  for (const wanted of ["hands-free", "hold", "note", "text", "send"]) assert.ok(visited.includes(wanted), `Tab reaches ${wanted}: ${visited}`);
  await page.focus("#text");
  await page.keyboard.type("remember that the ladder is in the shed");
  await page.keyboard.press("Enter");
  await until(page, () => /ladder/.test(document.querySelector(".messages .box")?.textContent ?? ""));
  await until(page, () => document.querySelector("#hold").dataset.phase === "speaking");
  await until(page, () => document.querySelector("#hold").dataset.phase === "idle");
  await page.focus('#nav a[href="#/timers"]');
  await page.keyboard.press("Enter");
  await until(page, () => document.querySelector("magpie-timers #timer-add") !== null);
  await page.focus("#timer-add");
  await page.keyboard.press("Enter");
  await until(page, () => document.querySelector("dialog[open]") !== null);
  await inspect(page, "timer dialog");
  await shot(page, "timer-dialog-phone-light-en");
  await page.keyboard.press("Escape");
  await until(page, () => document.querySelector("dialog[open]") === null);
  assert.equal(await page.evaluate(() => document.activeElement.id), "timer-add", "the focus comes back");
}

/** A box that is lived with. */
async function fill() {
  const memories = [
    ["The spare key is with Anna, in the blue bowl by the door", ["home", "key"], "life", true],
    ["备用钥匙在安娜那里，门边的蓝色碗里", ["家", "钥匙"], "life", false],
    ["The heating engineer comes on Thursday at ten; the boiler needs 1.5 bar before he starts, and the cellar has to be unlocked", ["home"], "work", false],
    ["Borrowed “The Left Hand of Darkness” from Mei", ["books"], "learning", false],
    ["周三下午三点和李老师讨论论文的第二章，记得带上打印稿", ["学习"], "learning", false],
    ["https://example.org/a/very/long/address/that/does/not/break/anywhere/at/all/because/it/has/no/spaces", [], "technology", false],
    ["Ana is allergic to walnuts", ["family"], "life", true],
  ];
  for (const [content, tags, category, pinned] of memories) await ask("POST", "/api/v1/memories", { content, tags, category, pinned });
  for (const message of ["where is the spare key", "备用钥匙在哪里", "what time is it"]) await ask("POST", "/api/v1/chat", { message });
  const timers = [
    { kind: "timer", label: "Tea", duration: 260 },
    { kind: "alarm", label: "", due_at: new Date(Date.now() + 8 * 3600000).toISOString(), repeat: "FREQ=DAILY" },
    { kind: "reminder", label: "Water the plants on the balcony", due_at: new Date(Date.now() + 30 * 3600000).toISOString() },
  ];
  for (const timer of timers) {
    await ask("POST", "/api/v1/timers", timer).catch((error) => {
      if (error.status !== 404) throw error;
    });
  }
  await signIn();
}

/** A Happy app that makes its account here. */
async function signIn() {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const challenge = randomBytes(32);
  const asked = {
    publicKey: publicKey.export({ format: "der", type: "spki" }).subarray(-32).toString("base64"),
    challenge: challenge.toString("base64"),
    signature: sign(null, challenge, privateKey).toString("base64"),
  };
  const answer = await fetch(`${PLAIN}/v1/auth`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(asked) });
  assert.equal(answer.status, 200);
}
