// Calls from one client to another through the server; those that take their time run beside all
// the rest, each with an account of its own.

const soon = (value) => (_params, ack) => ack(value);

export async function rpc(script) {
  const owner = await script.account("owner");
  const phone = await script.connect("phone", { as: owner });
  const daemon = await script.connect("daemon", { as: owner, auth: { clientType: "machine-scoped", machineId: "machine" } });
  const second = await script.connect("second daemon", { as: owner, auth: { clientType: "machine-scoped", machineId: "machine" } });
  const call = (name, method, params = "cGFyYW1z", socket = phone) => script.ask(name, socket, "rpc-call", { method, params });

  await script.emit("register", daemon, "rpc-register", { method: "machine:bash" });
  await script.emit("register again", daemon, "rpc-register", { method: "machine:bash" });
  await script.emit("register nothing", daemon, "rpc-register", {});
  await script.emit("register a number", daemon, "rpc-register", { method: 5 });
  await script.emit("register the empty text", daemon, "rpc-register", { method: "" });
  await script.emit("unregister nothing", daemon, "rpc-unregister", {});
  daemon.answers["machine:bash"] = soon("YW5zd2Vy");
  await call("a call", "machine:bash");
  daemon.answers["machine:bash"] = soon({ any: ["thing", 1, null] });
  await call("an answer that is no text", "machine:bash", { any: "params" });
  daemon.answers["machine:bash"] = soon(null);
  await call("an answer of null", "machine:bash", null);
  daemon.answers["machine:bash"] = (params, ack) => ack(`${params.length} letters`);
  await call("half a megabyte", "machine:bash", "x".repeat(500_000)).then(() => undefined);
  daemon.answers["machine:bash"] = (_params, ack) => ack("y".repeat(400_000));
  const long = await phone.socket.emitWithAck("rpc-call", { method: "machine:bash", params: "long" });
  await script.note("a long answer comes whole", long?.ok === true && long.result.length === 400_000);
  await call("without a method", undefined);
  await call("to oneself", "machine:bash", "x", daemon);
  await script.ask("without a payload", phone, "rpc-call", null);

  await script.emit("a second worker of the same method", second, "rpc-register", { method: "machine:bash" });
  daemon.answers["machine:bash"] = soon("first");
  second.answers["machine:bash"] = soon("second");
  await call("the first is asked", "machine:bash");
  await script.leave("the first leaves", daemon);
  await call("the second is asked", "machine:bash");

  // A slow call holds no other up.
  await script.emit("a slow method", second, "rpc-register", { method: "machine:slow" });
  let finish = () => {};
  second.answers["machine:slow"] = (_params, ack) => (finish = () => ack("slow at last"));
  const slow = phone.socket.emitWithAck("rpc-call", { method: "machine:slow", params: "x" });
  await call("a quick call beside a slow one", "machine:bash");
  for (let at = 0; at < 200 && !second.heard.some(([, asked]) => asked?.method === "machine:slow"); at++) await new Promise((done) => setTimeout(done, 25));
  finish();
  await script.note("the slow one", await slow);
  await script.emit("a session's worker", phone, "rpc-register", { method: "session:permission" });
  phone.answers["session:permission"] = soon("granted");
  await call("from the daemon to the phone", "session:permission", "x", second);
  await script.emit("unregister", phone, "rpc-unregister", { method: "session:permission" });
  await script.emit("unregister what is not registered", phone, "rpc-unregister", { method: "session:none" });
}

const GRACE = 14_000;

export async function rpcAbsent(script) {
  const phone = await script.connect("phone", { as: await script.account("owner") });
  await script.within(40_000, GRACE).ask("nobody has the method", phone, "rpc-call", { method: "machine:none", params: "x" });
}

export async function rpcForeign(script) {
  const phone = await script.connect("phone", { as: await script.account("owner") });
  const theirs = await script.connect("stranger's daemon", { as: await script.account("stranger"), auth: { clientType: "machine-scoped", machineId: "machine" } });
  theirs.answers["machine:bash"] = soon("of another account");
  await script.emit("a stranger registers", theirs, "rpc-register", { method: "machine:bash" });
  await script.within(40_000, GRACE).ask("a stranger's method is nobody's", phone, "rpc-call", { method: "machine:bash", params: "x" });
}

export async function rpcUnregistered(script) {
  const owner = await script.account("owner");
  const phone = await script.connect("phone", { as: owner });
  const daemon = await script.connect("daemon", { as: owner, auth: { clientType: "machine-scoped", machineId: "machine" } });
  daemon.answers["machine:bash"] = soon("still here");
  await script.emit("register", daemon, "rpc-register", { method: "machine:bash" });
  await script.emit("unregister", daemon, "rpc-unregister", { method: "machine:bash" });
  await script.within(40_000, GRACE).ask("after it", phone, "rpc-call", { method: "machine:bash", params: "x" });
}

export async function rpcReturns(script) {
  const owner = await script.account("owner");
  const phone = await script.connect("phone", { as: owner });
  const daemon = await script.connect("daemon", { as: owner, auth: { clientType: "machine-scoped", machineId: "machine" } });
  await script.emit("register", daemon, "rpc-register", { method: "machine:bash" });
  await script.leave("the worker leaves", daemon);
  const back = await script.connect("daemon again", { as: owner, auth: { clientType: "machine-scoped", machineId: "machine" } });
  back.answers["machine:bash"] = soon("back again");
  setTimeout(() => back.socket.emit("rpc-register", { method: "machine:bash" }), 2000);
  await script.within(40_000).ask("a worker that comes back is waited for", phone, "rpc-call", { method: "machine:bash", params: "x" });
}

export async function rpcLeaves(script) {
  const owner = await script.account("owner");
  const phone = await script.connect("phone", { as: owner });
  const daemon = await script.connect("daemon", { as: owner, auth: { clientType: "machine-scoped", machineId: "machine" } });
  daemon.answers["machine:bash"] = () => setTimeout(() => daemon.socket.disconnect(), 500);
  await script.emit("register", daemon, "rpc-register", { method: "machine:bash" });
  await script.within(40_000).ask("the worker leaves in the middle", phone, "rpc-call", { method: "machine:bash", params: "x" });
}

export async function rpcSilent(script) {
  const owner = await script.account("owner");
  const phone = await script.connect("phone", { as: owner });
  const daemon = await script.connect("daemon", { as: owner, auth: { clientType: "machine-scoped", machineId: "machine" } });
  await script.emit("register", daemon, "rpc-register", { method: "machine:bash" });
  await script.within(60_000, 29_000).ask("the worker says nothing", phone, "rpc-call", { method: "machine:bash", params: "x" });
}
