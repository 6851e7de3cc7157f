// The unmodified client from npm against a running server: `node client.mjs PORT MODE`, where the
// mode is `polling`, `websocket` or `upgrade`.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
const { io } = createRequire(import.meta.url)("socket.io-client");

const [port, mode] = process.argv.slice(2);
const transports = { polling: ["polling"], websocket: ["websocket"], upgrade: ["polling", "websocket"] }[mode];
const limit = setTimeout(() => { throw new Error("took too long"); }, 100_000);
const connect = (options) => io(`http://127.0.0.1:${port}`, {
  path: "/v1/updates/", transports, forceNew: true, reconnectionDelay: 50, reconnectionDelayMax: 500, ...options,
});
const heard = (socket, event) => new Promise((resolve) => socket.once(event, (...args) => resolve(args)));
// Over polling alone no upgrade comes; else every socket ends up on a WebSocket.
const settled = async (socket) => {
  if (!socket.connected) await heard(socket, "connect");
  const { engine } = socket.io;
  if (mode === "upgrade" && engine.transport.name === "polling") await new Promise((resolve) => engine.once("upgrade", resolve));
  assert.equal(engine.transport.name, mode === "polling" ? "polling" : "websocket");
};

const refused = connect({ auth: { token: "wrong" } });
const [error] = await heard(refused, "connect_error");
assert.equal(error.message, "Invalid authentication token");
refused.disconnect();

const socket = connect({ auth: { token: "right" } });
// Emitted before, while and after the transport changes: answered once each and in order.
const numbers = [];
socket.on("message-back", (number) => { if (typeof number === "number") numbers.push(number); });
for (let number = 0; number < 50; number += 1) socket.emit("message", number);
await heard(socket, "connect");
for (let number = 50; number < 100; number += 1) {
  socket.emit("message", number);
  if (number % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
}
await settled(socket);
for (let number = 100; number < 150; number += 1) socket.emit("message", number);
assert.equal(await socket.timeout(60_000).emitWithAck("message-with-ack", "ä"), "ä");
assert.deepEqual(numbers, Array.from({ length: 150 }, (_, number) => number));
const first = socket.id;

let back = heard(socket, "message-back");
socket.emit("message", "eins", "zwei", { drei: [null] });
assert.deepEqual(await back, ["eins", "zwei", { drei: [null] }]);

// Binary both ways, as an event and as an answer; and a long one.
back = heard(socket, "message-back");
socket.emit("message", Buffer.from([1, 2, 3]), { in: Buffer.from([]) });
assert.deepEqual(await back, [Buffer.from([1, 2, 3]), { in: Buffer.from([]) }]);
const long = Buffer.alloc(300_000, 7);
assert.deepEqual(await socket.timeout(60_000).emitWithAck("message-with-ack", { long }), { long });
socket.once("ask", (shown, answer) => answer(shown, Buffer.from([9])));
let asked = heard(socket, "asked");
socket.emit("ask me", Buffer.from([8]));
assert.deepEqual(await asked, [Buffer.from([8]), Buffer.from([9])]);

socket.once("ask", (answer) => answer("yes", 2));
asked = heard(socket, "asked");
socket.emit("ask me", 60_000);
assert.deepEqual(await asked, [["yes", 2]]);

const other = connect();
await settled(other);
const update = heard(other, "update");
socket.emit("shout", { t: "new-message" });
assert.deepEqual(await update, [{ t: "new-message" }]);

// A transport that breaks is opened anew by the client itself.
let gone = heard(socket, "disconnect");
let again = heard(socket, "connect");
socket.io.engine.close();
await gone;
await again;
assert.notEqual(socket.id, first);
await settled(socket);

// So it is after a restart of the server.
gone = Promise.all([heard(socket, "disconnect"), heard(other, "disconnect")]);
again = Promise.all([heard(socket, "connect"), heard(other, "connect")]);
socket.emit("stop the box");
await gone;
await again;
await settled(socket);
assert.equal(await socket.timeout(60_000).emitWithAck("count"), 2);

const thrown = heard(other, "disconnect");
socket.emit("throw out");
assert.deepEqual((await thrown)[0], "io server disconnect");
socket.disconnect();
clearTimeout(limit);
