// node compare.js EXPECTED ACTUAL [THEME...]: each is a file of recorded lines or the URL of a
// server to record now. Prints what differs and ends with 1 where a difference is not meant.

import { readFileSync } from "node:fs";
import { deliberate } from "./deliberate.js";
import { record } from "./themes.js";

const [left, right, ...themes] = process.argv.slice(2);
if (!left || !right) {
  console.error("usage: node compare.js EXPECTED ACTUAL [THEME...]   (each a URL or a file of lines)");
  process.exit(2);
}
const only = themes.length > 0 ? themes : undefined;
const chosen = (line) => !only || only.some((theme) => line.name.startsWith(`${theme}: `));
const expected = (await lines(left)).filter(chosen);
const actual = (await lines(right, expected)).filter(chosen);

const found = new Map(actual.map((line) => [line.name, line]));
const wanted = new Map(expected.map((line) => [line.name, line]));
const counts = { equal: 0, deliberate: 0, different: 0 };
const used = new Set();
for (const name of new Set([...wanted.keys(), ...found.keys()])) {
  const differences = differ(outcome(wanted.get(name)), outcome(found.get(name)), "");
  if (differences.length === 0) {
    counts.equal += 1;
    continue;
  }
  const rule = deliberate.find((rule) => rule.names.test(name) && differences.every(({ at }) => rule.at.test(at)) && meant(rule, found.get(name)));
  if (rule) {
    used.add(rule);
    counts.deliberate += 1;
    continue;
  }
  counts.different += 1;
  console.log(`\n${name}`);
  if (wanted.has(name)) console.log(`  asked     ${cut(JSON.stringify(wanted.get(name).asked))}`);
  const whole = [{ at: "", left: JSON.stringify(outcome(wanted.get(name))), right: JSON.stringify(outcome(found.get(name))) }];
  for (const { at, left, right } of differences.length > 4 ? whole : differences) {
    console.log(`  ${at || "all of it"}\n    expected  ${cut(left)}\n    actual    ${cut(right)}`);
  }
}

console.log(`\n${wanted.size} exchanges expected, ${found.size} made: ${counts.equal} equal, ${counts.deliberate} differ as meant, ${counts.different} differ.`);
for (const rule of used) console.log(`  as meant: ${rule.reason}`);
process.exit(counts.different === 0 ? 0 : 1);

async function lines(from, expected) {
  if (/^https?:\/\//.test(from)) return JSON.parse(JSON.stringify(await record(from, expected, only)));
  return readFileSync(from, "utf8").split("\n").filter(Boolean).map((line) => JSON.parse(line));
}

/** An excuse holds for the answer that is meant, and for no other. */
function meant(rule, line) {
  return line !== undefined && (rule.is === undefined || rule.is(line.answer, line.heard ?? {}));
}

/** What the server did; what it was asked is the script's. */
function outcome(line) {
  return line && { answer: line.answer, heard: line.heard ?? {} };
}

/** Every place where two values part, the deepest one. */
function differ(left, right, at) {
  if (left === right) return [];
  const branch = (value) => value !== null && typeof value === "object";
  if (branch(left) && branch(right) && Array.isArray(left) === Array.isArray(right)) {
    const keys = new Set([...Object.keys(left), ...Object.keys(right)]);
    return [...keys].flatMap((key) => differ(left[key], right[key], at ? `${at}.${key}` : key));
  }
  return [{ at, left: JSON.stringify(left), right: JSON.stringify(right) }];
}

function cut(text = "nothing") {
  return text.length > 400 ? `${text.slice(0, 400)}…` : text;
}
