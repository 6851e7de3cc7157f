// Who is let in by the socket, and by which transport.

export async function sockets(script) {
  const owner = await script.account("owner");
  const enter = (name, options) => script.connect(name, options);
  await enter("no token", {});
  await enter("an empty token", { auth: { token: "" } });
  await enter("a token that is none", { auth: { token: "nonsense" } });
  await enter("a number for a token", { auth: { token: 5 } });
  await enter("a session's without its id", { as: owner, auth: { clientType: "session-scoped" } });
  await enter("a machine's without its id", { as: owner, auth: { clientType: "machine-scoped" } });
  await enter("a session's without its id and a bad token", { auth: { token: "nonsense", clientType: "session-scoped" } });
  await enter("a session's with an empty id", { as: owner, auth: { clientType: "session-scoped", sessionId: "" } });
  await enter("user", { as: owner });
  await enter("user by name", { as: owner, auth: { clientType: "user-scoped", happyClient: "cli/1.2.5" } });
  await enter("unknown kind", { as: owner, auth: { clientType: "other" } });
  await enter("session that is not there", { as: owner, auth: { clientType: "session-scoped", sessionId: "none" } });
  await enter("machine that is not there", { as: owner, auth: { clientType: "machine-scoped", machineId: "none" } });
  const polling = await enter("polling", { as: owner, transports: ["polling"] });
  await enter("polling that is refused", { auth: { token: "nonsense" }, transports: ["polling"] });
  const upgraded = await enter("polling first", { as: owner, transports: ["polling", "websocket"] });
  if (upgraded) {
    for (let at = 0; at < 200 && upgraded.socket.io.engine.transport.name === "polling"; at++) await new Promise((done) => setTimeout(done, 25));
    await script.note("it is upgraded", upgraded.socket.io.engine.transport.name);
    await script.ask("a ping after it", upgraded, "ping");
  }
  if (polling) {
    await script.note("it stays with polling", polling.socket.io.engine.transport.name);
    await script.ask("a ping by polling", polling, "ping");
    await script.ask("an error by polling", polling, "update-metadata", { sid: "", metadata: "m", expectedVersion: 0 });
  }
  await script.call("all of them hear of a session, or not", "POST", "/v1/sessions", { as: owner, body: { tag: "s", metadata: "m" } }).then((told) => script.names.give(told.session?.id, "session"));
  await script.call("all of them hear of a machine, or not", "POST", "/v1/machines", { as: owner, body: { id: `none-${owner.id}`, metadata: "m" } });
  if (polling) await script.leave("polling leaves", polling);
}
