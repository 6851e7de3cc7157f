// Drives the first page in Chromium: pairs, types, holds to talk; takes pictures of each state.

import assert from "node:assert/strict";
import { join } from "node:path";
import { chromium } from "playwright-core";

/** Asks the page until it says yes; Playwright's own waiting needs eval, which the page forbids. */
async function until(page, question, argument) {
  const end = Date.now() + 30000;
  while (!(await page.evaluate(question, argument))) {
    if (Date.now() > end) throw new Error(`still not: ${question}\n${await page.locator("body").innerText()}`);
    await page.waitForTimeout(50);
  }
}

const { PAGE, CODE, SPOKEN, SHOTS } = process.env;
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  headless: true,
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream", `--use-file-for-fake-audio-capture=${SPOKEN}`,
  ],
});

try {
  const context = await browser.newContext({ viewport: { width: 390, height: 844 }, locale: "en-GB", colorScheme: "light" });
  const page = await context.newPage();
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => {
    if (!request.url().startsWith(PAGE)) complaints.push(`asked ${request.url()}`);
  });
  const shot = (name) => page.screenshot({ path: join(SHOTS, `${name}.png`) });

  // A stranger is asked for the code, and the code of the link is filled in but not kept.
  await page.goto(`${PAGE}/#claim=${CODE}`);
  await page.waitForSelector("#pair:not([hidden])");
  assert.equal(await page.inputValue("#code"), CODE);
  assert.equal(new URL(page.url()).hash, "");
  await shot("pair-phone-light");
  await page.click("#pair button[type=submit]");
  await page.waitForSelector("#connection[data-state=open]");
  await shot("empty-phone-light");

  await page.fill("#text", "remember that the spare key is with Anna");
  await page.press("#text", "Enter");
  await page.waitForSelector("#messages .box");
  await page.fill("#text", "where is the spare key");
  await page.click("#send");
  await until(page, () => [...document.querySelectorAll("#messages .box")].some((line) => /Anna/.test(line.textContent) && line === document.querySelector("#messages").lastElementChild));
  await shot("talk-phone-light");

  // The microphone "hears" the file for as long as the button is held.
  const before = await page.locator("#messages .mine").count();
  const button = await page.locator("#hold").boundingBox();
  assert.ok(button.width >= 44 && button.height >= 44, "the button is large enough for a thumb");
  await page.mouse.move(button.x + button.width / 2, button.y + button.height / 2);
  await page.mouse.down();
  await until(page, () => document.querySelector("#state").textContent !== "");
  await shot("listening-phone-light");
  await page.waitForTimeout(3200);
  await page.mouse.up();
  await until(page, (count) => document.querySelectorAll("#messages .mine").length > count, before);
  const heard = await page.locator("#messages .mine").last().textContent();
  assert.match(heard.toLowerCase(), /where|spare|key/, `heard ${heard}`);
  await until(page, () => document.querySelector("#messages").lastElementChild.classList.contains("box"));

  await page.emulateMedia({ colorScheme: "dark" });
  // It is spoken here, and once that is over nothing is left to stop.
  await until(page, () => document.querySelector("#state").textContent === "Speaking");
  await until(page, () => document.querySelector("#state").textContent === "" && document.querySelector("#stop").hidden);
  await shot("talk-phone-dark");
  await page.setViewportSize({ width: 1280, height: 800 });
  await shot("talk-desk-dark");
  await page.emulateMedia({ colorScheme: "light" });
  await shot("talk-desk-light");
  await page.setViewportSize({ width: 360, height: 640 });
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(overflow <= 0, `at 360 px the page is ${overflow} px too wide`);
  await page.goto(`${PAGE}/trust`);
  await shot("trust-phone-light");
  assert.deepEqual(complaints, []);
} finally {
  await browser.close();
}
