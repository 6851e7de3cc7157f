// The set-up page of the appliance, as a phone sees it: `node set-up.js wrong` and then `right`.

import { readFile } from "node:fs/promises";
import { CODE, PAGE, PHONE, launch, shot } from "./browser.js";

const { SSID, PASSWORD } = process.env;
const axe = await readFile(new URL("node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
const browser = await launch();
const complaints = [];

/** A phone without scripts: the page must not need them. */
async function phone(language, colorScheme) {
  const context = await browser.newContext({ viewport: PHONE, deviceScaleFactor: 2, locale: language, colorScheme, javaScriptEnabled: false });
  const page = await context.newPage();
  page.on("request", (request) => {
    if (!request.url().startsWith(`${PAGE}/`)) complaints.push(`asked ${request.url()}`);
  });
  page.on("console", (message) => {
    // A refused form is answered with 403.
    if (!/status of 403/.test(message.text())) complaints.push(message.text());
  });
  await page.goto(PAGE);
  return page;
}

async function says(page, text) {
  const body = await page.locator("body").innerText();
  if (!body.includes(text)) throw new Error(`no "${text}" in:\n${body}`);
}

async function fill(page, password, proof) {
  await page.selectOption("select[name=network]", SSID);
  await page.fill("input[name=password]", password);
  await page.fill("input[name=proof]", proof);
}

async function send(page) {
  await Promise.all([page.waitForNavigation({ timeout: 120000 }), page.click("button")]);
}

/** What helps people who do not see or point well. */
async function accessible() {
  const context = await browser.newContext({ viewport: PHONE, bypassCSP: true });
  const page = await context.newPage();
  await page.goto(PAGE);
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run());
  for (const { id, help, nodes } of violations) complaints.push(`${id}: ${help} ${nodes[0]?.html}`);
  await context.close();
}

const english = await phone("en-GB", "light");
const proof = CODE.slice(8);
if (process.argv[2] === "wrong") {
  await says(english, "Choose the Wi-Fi that the box should live in.");
  const names = await english.locator("option").allInnerTexts();
  if (names.join("|") !== `choose…|${SSID}|邻居家|Café (open)|<script>alert(1)</script>`) throw new Error(names.join("|"));
  await shot(english, "set-up-phone-light-en");
  const chinese = await phone("zh-CN", "dark");
  await says(chinese, "请选择盒子要使用的无线网络。");
  await shot(chinese, "set-up-phone-dark-zh");
  await accessible();
  // A wrong end of the code, then the right one with a wrong password for the network.
  await fill(english, PASSWORD, proof === "0000" ? "0001" : "0000");
  await send(english);
  await says(english, "These are not the last four digits of the code.");
  await fill(english, "wrong password", proof);
} else {
  await says(english, "The box could not join that network.");
  if ((await english.inputValue("select[name=network]")) !== SSID) throw new Error("the network is not chosen any more");
  await shot(english, "set-up-again-phone-light-en");
  await fill(english, PASSWORD, proof);
}
await send(english);
await says(english, `The box is joining “${SSID}”`);
await says(english, "http://kitchen.local");
await shot(english, "set-up-joining-phone-light-en");
await browser.close();
if (complaints.length > 0) throw new Error(complaints.join("\n"));
