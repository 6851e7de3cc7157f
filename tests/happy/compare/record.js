// node record.js URL [THEME...]: goes through the script and prints one JSON line an exchange.

import { record } from "./themes.js";

const [base, ...only] = process.argv.slice(2);
if (!base) {
  console.error("usage: node record.js URL [THEME...]");
  process.exit(2);
}
const lines = await record(base, undefined, only.length > 0 ? only : undefined);
for (const line of lines) console.log(JSON.stringify(line));
process.exit(lines.some((line) => line.name.endsWith(": broke off")) ? 1 : 0);
