// Access keys of a session on a machine.

import { randomUUID } from "node:crypto";

export async function accessKeys(script) {
  const owner = await script.account("owner");
  const stranger = await script.account("stranger");
  const machine = randomUUID();
  script.names.give(machine, "machine");
  const made = await script.quietly("POST", "/v1/sessions", { as: owner, body: { tag: "s", metadata: "m" } });
  await script.quietly("POST", "/v1/machines", { as: owner, body: { id: machine, metadata: "m" } });
  const session = made.session.id;
  script.names.give(session, "session");
  const path = `/v1/access-keys/${session}/${machine}`;
  const phone = await script.connect("phone", { as: owner });
  const theirs = await script.connect("stranger's phone", { as: stranger });
  const put = (name, data, expectedVersion, as = owner) => script.call(name, "PUT", path, { as, body: { data, expectedVersion } });

  await script.call("none yet", "GET", path, { as: owner });
  await script.ask("none yet over the socket", phone, "access-key-get", { sessionId: session, machineId: machine });
  await put("change what is not there", "d", 1);
  await script.call("make", "POST", path, { as: owner, body: { data: "ZGF0YQ==" } });
  await script.call("make again", "POST", path, { as: owner, body: { data: "eA==" } });
  await script.call("make one of an unknown machine", "POST", `/v1/access-keys/${session}/none`, { as: owner, body: { data: "x" } });
  await script.call("make one of an unknown session", "POST", `/v1/access-keys/none/${machine}`, { as: owner, body: { data: "x" } });
  await script.call("make for a stranger", "POST", path, { as: stranger, body: { data: "x" } });
  await put("change", "Mg==", 1);
  await put("change an old version", "Mw==", 1);
  await put("change by a stranger", "Mw==", 2, stranger);
  await script.call("what came of it", "GET", path, { as: owner });
  await script.call("for a stranger", "GET", path, { as: stranger });
  await script.ask("over the socket", phone, "access-key-get", { sessionId: session, machineId: machine });
  await script.ask("over a stranger's socket", theirs, "access-key-get", { sessionId: session, machineId: machine });
  await script.ask("without a machine", phone, "access-key-get", { sessionId: session });
  await script.ask("without a payload", phone, "access-key-get", null);
  await script.call("the machine goes", "DELETE", `/v1/machines/${machine}`, { as: owner });
  await script.call("and the key with it", "GET", path, { as: owner });
}
