// The script: what is asked, theme by theme.

import { accessKeys } from "./themes/access_keys.js";
import { account } from "./themes/account.js";
import { artifacts } from "./themes/artifacts.js";
import { attachments } from "./themes/attachments.js";
import { engine } from "./themes/engine.js";
import { http } from "./themes/http.js";
import { kv } from "./themes/kv.js";
import { machines } from "./themes/machines.js";
import { messages, repetitions } from "./themes/messages.js";
import { outside } from "./themes/outside.js";
import { pairing } from "./themes/pairing.js";
import { people } from "./themes/people.js";
import { push } from "./themes/push.js";
import { rpc, rpcAbsent, rpcForeign, rpcLeaves, rpcReturns, rpcSilent, rpcUnregistered } from "./themes/rpc.js";
import { sessionEvents } from "./themes/session_events.js";
import { sessions } from "./themes/sessions.js";
import { signInTheme } from "./themes/sign_in.js";
import { sockets } from "./themes/sockets.js";
import { Script } from "./script.js";

/** Their waits are long; they run beside the others. */
const PATIENT = { "rpc absent": rpcAbsent, "rpc foreign": rpcForeign, "rpc unregistered": rpcUnregistered, "rpc returns": rpcReturns, "rpc leaves": rpcLeaves, "rpc silent": rpcSilent };

const THEMES = {
  http, "sign-in": signInTheme, pairing, sessions, messages, repetitions, machines, account, push, kv, artifacts,
  "access keys": accessKeys, people, outside, attachments, sockets, "session events": sessionEvents, rpc, engine,
};

const LANES = 4;

/**
 * Goes through the script against one server.
 * @param {string} base
 * @param {any[]} [expected] what another server did, so that its events are waited for
 * @param {string[]} [only] themes; all without it
 * @returns {Promise<any[]>} one line an exchange
 */
export async function record(base, expected, only) {
  const wanted = expected && new Map(expected.map((line) => [line.name, line]));
  const play = async ([theme, run]) => {
    const script = new Script(base.replace(/\/+$/, ""), theme, wanted);
    try {
      await run(script);
    } catch (error) {
      // The theme ends here; what it did not get to is missed by the comparison.
      script.lines.push({ name: `${theme}: broke off`, answer: { error: String(error?.message ?? error).split("\n")[0] } });
      process.stderr.write(`${theme}: ${error?.stack ?? error}\n`);
    } finally {
      script.close();
    }
    return script.lines;
  };
  const chosen = (themes) => Object.entries(themes).filter(([theme]) => !only || only.includes(theme));
  const patient = Promise.all(chosen(PATIENT).map(play));
  // Each theme has accounts of its own, so that some may go side by side.
  const waiting = chosen(THEMES);
  const done = new Map();
  const lane = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) done.set(next[0], await play(next));
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  const lines = chosen(THEMES).flatMap(([theme]) => done.get(theme));
  for (const more of await patient) lines.push(...more);
  return lines;
}
