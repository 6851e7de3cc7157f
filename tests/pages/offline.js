// The box goes away: the page opens all the same, records, keeps it over a reload, says so
// truthfully, and sends it when the box is back.

import assert from "node:assert/strict";
import { ask, order } from "./box.js";
import { PAGE, PHONE, connected, launch, pair, shot, until, watch } from "./browser.js";

const browser = await launch();
try {
  const context = await browser.newContext({ viewport: PHONE, locale: "en-GB", colorScheme: "light" });
  const page = await context.newPage();
  const complaints = watch(page);
  await pair(page);
  await page.evaluate(() => navigator.serviceWorker.ready.then(() => true));
  await ask("POST", "/api/v1/memories", { content: "the spare key is with Anna" });
  await page.reload();
  await connected(page);
  await until(page, () => navigator.serviceWorker.controller !== null);

  await page.goto(`${PAGE}/#/queue`);
  await until(page, () => /Everything has arrived/.test(document.querySelector("magpie-queue")?.textContent ?? ""));
  await order("!stop");
  await until(page, () => document.querySelector("#connection").dataset.state === "closed");
  await until(page, () => /cannot be asked/.test(document.querySelector("magpie-queue").textContent), undefined, 20);
  await page.goto(`${PAGE}/#/talk`);

  // The shell is on the phone.
  await page.reload();
  await until(page, () => document.querySelector("magpie-talk #hold") !== null);
  const button = await page.locator("#hold").boundingBox();
  await page.mouse.move(button.x + button.width / 2, button.y + button.height / 2);
  await page.mouse.down();
  await until(page, () => document.querySelector("#hold").dataset.phase === "keeping");
  await page.waitForTimeout(2600);
  await shot(page, "talk-offline-phone-light-en");
  await page.mouse.up();
  await until(page, () => document.querySelector(".messages .kept") !== null);
  await until(page, () => document.querySelector("#badge b")?.textContent === "1 waiting");

  // A reload without the box loses nothing.
  await page.reload();
  await until(page, () => document.querySelector("#badge b")?.textContent === "1 waiting");
  await page.goto(`${PAGE}/#/queue`);
  await until(page, () => /On this device/.test(document.querySelector("magpie-queue")?.textContent ?? ""));
  await shot(page, "queue-offline-phone-light-en");

  await order("!start");
  await until(page, () => document.querySelector("#connection").dataset.state === "open");
  await page.goto(`${PAGE}/#/talk`);
  await until(page, () => [...document.querySelectorAll(".messages .mine")].some((line) => /\b(where|spare|key)\b/i.test(line.textContent)), undefined, 60);
  await until(page, () => document.querySelector("#badge").hidden, undefined, 60);
  await page.goto(`${PAGE}/#/queue`);
  await until(page, () => /Everything has arrived/.test(document.querySelector("magpie-queue")?.textContent ?? ""), undefined, 60);
  assert.deepEqual(complaints, []);
} finally {
  await browser.close();
}
