// The box behind the page: orders to whoever started this, and questions of its owner.

import { createInterface } from "node:readline";
import { PLAIN } from "./browser.js";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
process.stdin.unref?.();

/** `!stop` or `!start`; resolves when it is done. */
export async function order(what) {
  console.log(what);
  await lines.next();
}

/** A question from the machine itself, whose owner it is. */
export async function ask(method, path, body) {
  const answer = await fetch(`${PLAIN}${path}`, { method, headers: { "Content-Type": "application/json" }, body: body && JSON.stringify(body) });
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) throw Object.assign(new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(told)}`), { status: answer.status });
  return told.data;
}
