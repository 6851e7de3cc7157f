// What can be held about the page without a browser: the types of its scripts, and the numbers
// of the filter between the sound card and the box.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import { Resampler } from "../../web/capture.js";

for (const from of [44100, 48000]) {
  const passes = [100, 300, 1000, 3000, 5000, 6000].map((hz) => loss(from, 16000, hz));
  assert.ok(passes.every((db) => Math.abs(db) < 0.5), `${from}: speech passes whole: ${passes}`);
  // Above 8 kHz plus the slope: what is left of it lies in the voice's own band.
  const kept = [8500, 9000, 10000, 12000, 15000, 18000, 20000].map((hz) => -loss(from, 16000, hz));
  const worst = Math.min(...kept);
  assert.ok(worst > 60, `${from}: only ${worst} dB below`);
  console.log(`page_alias_rejection_${from} ${worst.toFixed(1)} dB`);
}
for (const [from, to] of [[16000, 16000], [22050, 48000], [24000, 48000], [8000, 44100]]) {
  assert.ok(Math.abs(loss(from, to, 1000)) < 0.1, `${from} to ${to}`);
  const whole = run(from, to, new Float32Array(from), [from]);
  const pieces = run(from, to, tone(from, 440), [1, 7, 480, 128]);
  assert.ok(Math.abs(whole.length - to) <= 2, `a second of ${from} is a second of ${to}, not ${whole.length}`);
  const once = run(from, to, tone(from, 440), [from]);
  assert.equal(pieces.length, once.length);
  assert.ok(pieces.every((value, at) => Math.abs(value - once[at]) < 1e-4), "in pieces as at once");
}

const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
try {
  execFileSync(process.execPath, [tsc, "-p", "tsconfig.json"], { encoding: "utf8" });
} catch (error) {
  assert.fail(error.stdout || error.message);
}

/** A second at half height. */
function tone(rate, hz) {
  return Float32Array.from({ length: rate }, (_, at) => 0.5 * Math.sin((2 * Math.PI * hz * at) / rate));
}

/** Given in pieces of these sizes, again and again. */
function run(from, to, sound, sizes) {
  const resampler = new Resampler(from, to);
  const out = [];
  for (let at = 0, turn = 0; at < sound.length; turn++) {
    const end = Math.min(sound.length, at + sizes[turn % sizes.length]);
    out.push(...resampler.process(sound.subarray(at, end)));
    at = end;
  }
  out.push(...resampler.finish());
  return out;
}

/** Decibels by which a tone is louder behind than before. */
function loss(from, to, hz) {
  const out = run(from, to, tone(from, hz), [128]).slice(1000, -1000);
  const power = out.reduce((sum, value) => sum + value * value, 0) / out.length;
  return 10 * Math.log10(Math.max(power, 1e-20) / 0.125);
}
