// Makes the PNG icons from web/icon.svg: `node icons.js`, by hand when the picture changes.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { chromium } from "playwright-core";

const web = join(import.meta.dirname, "../../web");
const svg = await readFile(join(web, "icon.svg"), "utf8");
/** Full of colour to the edge, with the bird in the middle that every mask leaves. */
const maskable = svg.replace(' rx="14"', "").replace(/(<g.*)(<\/svg>)/s, '<g transform="translate(5 5) scale(.84)">$1</g>$2');

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
const page = await browser.newPage();
for (const [name, size, picture] of [["icon-192", 192, svg], ["icon-512", 512, svg], ["icon-maskable-512", 512, maskable]]) {
  await page.setViewportSize({ width: size, height: size });
  await page.setContent(`<body style="margin:0;background:transparent">${picture.replace("<svg ", `<svg style="display:block" width="${size}" height="${size}" `)}`);
  await page.screenshot({ path: join(web, `${name}.png`), omitBackground: true });
}
await browser.close();
