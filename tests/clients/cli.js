// A published CLI against a server, with a phone at the other end: sign-in, daemon, machine,
// calls, a session with messages both ways, and all of it again after the server was started anew.
//
// SERVER is where it is, CLI the package: happy or happy-coder. PAIRING=v1 gives the terminal the
// account's whole secret, as older phones do. Whoever started this stops and starts the server at
// `!stop` and `!start`, each answered by a line; with RESTART=0 that part is left out.

import assert from "node:assert/strict";
import { realpathSync } from "node:fs";
import { hostname, platform } from "node:os";
import { createInterface } from "node:readline";
import { Phone } from "./phone.js";
import { Terminal } from "./terminal.js";

const server = process.env.SERVER;
if (!server) throw new Error("SERVER is not set");
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const order = async (what) => {
  console.log(what);
  await lines.next();
};
const step = (what) => console.log(`clients: ${what}`);
const backwards = (text) => [...text].reverse().join("");

const phone = await Phone.register(server);
const terminal = new Terminal(server, process.env.CLI ?? "happy");
let session;
try {
  const pairing = process.env.PAIRING ?? "v2";
  await terminal.signIn((link) => phone.approve(link, pairing));
  const { token, encryption, secret } = terminal.kept("access.key");
  assert.equal(token.split(".").length, 3);
  if (pairing === "v1") assert.equal(secret, Buffer.from(phone.secret).toString("base64"), "the secret that the phone gave");
  else assert.equal(encryption.publicKey, Buffer.from(phone.content.publicKey).toString("base64"), "the key that the phone gave");
  assert.match(await terminal.run("auth", "status"), /Authenticated/);
  step("signed in");

  let mark = phone.mark();
  // The CLI gives its daemon five seconds, which a busy machine does not; the daemon comes all the same.
  await phone.until("the daemon starts", () => terminal.run("daemon", "start").then(() => true, () => false));
  const { machineId } = terminal.kept("settings.json");
  await phone.hears("the new machine", (event) => event.body?.t === "new-machine" && event.body.machineId === machineId, mark);
  await phone.hears("the daemon is there", (event) => event.type === "machine-activity" && event.id === machineId && event.active, mark);
  const machine = await phone.until("the daemon's state", async () => {
    const row = await phone.machine(machineId);
    return row.daemonState?.status === "running" && row;
  });
  assert.equal(machine.metadata.host, hostname());
  assert.equal(machine.metadata.platform, platform());
  assert.equal(machine.metadata.happyCliVersion, terminal.version);
  assert.equal(machine.active, true);
  assert.equal(machine.dataEncryptionKey === null, pairing === "v1");
  step("the daemon runs and its machine is registered");

  const told = await phone.remote(machine, "bash", { command: "echo from the $0; pwd", cwd: terminal.work });
  assert.equal(told.success, true, JSON.stringify(told));
  assert.equal(told.stdout.trim().split("\n")[1], realpathSync(terminal.work));
  const written = await phone.remote(machine, "writeFile", { path: `${terminal.work}/note`, content: Buffer.from("by phone").toString("base64"), expectedHash: null });
  const read = await phone.remote(machine, "readFile", { path: `${terminal.work}/note` });
  assert.equal(written.success, true, JSON.stringify(written));
  assert.equal(Buffer.from(read.content, "base64").toString(), "by phone");
  step("calls to the machine are answered");

  mark = phone.mark();
  const spawned = await phone.remote(machine, "spawn-happy-session", { type: "spawn-in-directory", directory: terminal.work, approvedNewDirectoryCreation: true, agent: "claude" });
  assert.equal(spawned.type, "success", JSON.stringify(spawned));
  await phone.hears("the new session", (event) => event.body?.t === "new-session" && event.body.id === spawned.sessionId, mark);
  await phone.hears("its heartbeat", (event) => event.type === "activity" && event.id === spawned.sessionId && event.active, mark);
  session = await phone.session(spawned.sessionId);
  assert.equal(session.metadata.path, realpathSync(terminal.work));
  assert.equal(session.metadata.machineId, machineId);
  step("a session is spawned by the phone");

  await converse("the first question \u00e4\u{1f600}");
  await converse("and a second one");
  await phone.hears("the use of tokens", (event) => event.type === "usage" && event.id === session.id && event.tokens.total > 0, mark);
  const state = await phone.until("the agent's state", async () => {
    const row = await phone.session(session.id);
    return row.agentState && row;
  });
  assert.ok(state.agentStateVersion > 0 && state.metadataVersion > 0, "metadata and state were written over the socket");
  step("messages go both ways");

  const files = await phone.remote(session, "listDirectory", { path: terminal.work });
  assert.equal(files.success, true, JSON.stringify(files));
  step("calls to the session are answered");

  if (process.env.RESTART !== "0") {
    const before = (await phone.messages(session)).length;
    await order("!stop");
    await phone.until("the phone notices", () => !phone.socket.connected);
    mark = phone.mark();
    await order("!start");
    await phone.until("the phone is back", () => phone.socket.connected);
    await phone.hears("the daemon is back", (event) => event.type === "machine-activity" && event.id === machineId && event.active, mark);
    await phone.hears("the session is back", (event) => event.type === "activity" && event.id === session.id && event.active, mark);
    assert.ok((await phone.messages(session)).length >= before, "nothing is lost");
    await converse("a third one after the restart");
    const again = await phone.remote(machine, "bash", { command: "echo again", cwd: terminal.work });
    assert.equal(again.stdout.trim(), "again");
    step("both are back after a restart");
  }

  mark = phone.mark();
  await phone.remote(session, "killSession", {});
  await phone.hears("the session ends", (event) => event.type === "activity" && event.id === session.id && !event.active, mark);
  const ended = await phone.until("it is archived", async () => {
    const row = await phone.session(session.id);
    return !row.active && row.metadata.lifecycleState === "archived" && row;
  });
  assert.equal(ended.metadata.archivedBy, "cli");
  mark = phone.mark();
  await terminal.run("daemon", "stop");
  await phone.hears("the daemon leaves", (event) => event.type === "machine-activity" && event.id === machineId && !event.active, mark);
  step("the session is archived and the daemon gone");
} catch (error) {
  console.error(terminal.logs());
  throw error;
} finally {
  phone.close();
  await terminal.end();
}
step("all is well");
process.exit(0);

/** Says something and waits for the answer, which comes decrypted and with all that was before it. */
async function converse(text) {
  const since = phone.mark();
  await phone.say(session, text);
  const answer = backwards(text);
  await phone.until(`the answer to ${text}`, async () => JSON.stringify(await phone.messages(session)).includes(answer));
  // And by the socket, as the app gets it.
  await phone.hears("the answer as an update", (event) => event.body?.t === "new-message" && event.body.sid === session.id, since);
}
