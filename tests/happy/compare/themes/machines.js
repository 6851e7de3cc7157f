// Machines over REST and over the socket.

import { randomUUID } from "node:crypto";

export async function machines(script) {
  const owner = await script.account("owner");
  const stranger = await script.account("stranger");
  const [first, second] = [randomUUID(), randomUUID()];
  script.names.give(first, "machine 1");
  script.names.give(second, "machine 2");
  const phone = await script.connect("phone", { as: owner });
  const daemon = await script.connect("daemon", { as: owner, auth: { clientType: "machine-scoped", machineId: first } });
  await script.connect("stranger's phone", { as: stranger });
  const make = (name, body, as = owner) => script.call(name, "POST", "/v1/machines", { as, body });

  await script.call("none yet", "GET", "/v1/machines", { as: owner });
  await make("a new one", { id: first, metadata: "bWV0YQ==" });
  await make("the same again", { id: first, metadata: "other", daemonState: "state" });
  await make("with a state and a key", { id: second, metadata: "m", daemonState: "c3RhdGU=", dataEncryptionKey: "AAECAw==" });
  await make("a stranger's with the same id", { id: first, metadata: "m" }, stranger);
  await script.call("all", "GET", "/v1/machines", { as: owner });
  await script.call("one", "GET", `/v1/machines/${second}`, { as: owner });
  await script.call("one for a stranger", "GET", `/v1/machines/${first}`, { as: stranger });

  await script.ask("new metadata", daemon, "machine-update-metadata", { machineId: first, metadata: "bTI=", expectedVersion: 1 });
  await script.ask("metadata of an old version", daemon, "machine-update-metadata", { machineId: first, metadata: "bTM=", expectedVersion: 1 });
  await script.ask("metadata of a version to come", phone, "machine-update-metadata", { machineId: first, metadata: "bTM=", expectedVersion: 99 });
  await script.ask("metadata from the phone", phone, "machine-update-metadata", { machineId: first, metadata: "bTQ=", expectedVersion: 2 });
  await script.ask("metadata without a version", daemon, "machine-update-metadata", { machineId: first, metadata: "x" });
  await script.ask("metadata that is no text", daemon, "machine-update-metadata", { machineId: first, metadata: 5, expectedVersion: 3 });
  await script.ask("metadata of no machine", daemon, "machine-update-metadata", { metadata: "x", expectedVersion: 3 });
  await script.ask("metadata of an unknown machine", daemon, "machine-update-metadata", { machineId: "none", metadata: "x", expectedVersion: 0 });
  await script.ask("no payload", daemon, "machine-update-metadata");

  await script.ask("a first state", daemon, "machine-update-state", { machineId: first, daemonState: "czE=", expectedVersion: 0 });
  await script.ask("a state of an old version", daemon, "machine-update-state", { machineId: first, daemonState: "czI=", expectedVersion: 0 });
  await script.ask("a state that is null", daemon, "machine-update-state", { machineId: first, daemonState: null, expectedVersion: 1 });
  await script.ask("a state of an unknown machine", daemon, "machine-update-state", { machineId: "none", daemonState: "x", expectedVersion: 1 });
  await script.ask("the next state", daemon, "machine-update-state", { machineId: first, daemonState: "czI=", expectedVersion: 1 });
  await script.call("the machine is active by its state", "GET", `/v1/machines/${first}`, { as: owner });
  await script.emit("a heartbeat", daemon, "machine-alive", { machineId: first, time: Date.now() - 10 });
  await script.emit("a heartbeat of the future", daemon, "machine-alive", { machineId: first, time: Date.now() + 3_600_000 });
  await script.emit("a heartbeat of long ago", daemon, "machine-alive", { machineId: first, time: Date.now() - 700_000 });
  await script.emit("a heartbeat without a time", daemon, "machine-alive", { machineId: first });
  await script.emit("a heartbeat of an unknown machine", daemon, "machine-alive", { machineId: "none", time: Date.now() - 10 });
  await script.emit("a heartbeat of nothing", daemon, "machine-alive", null);

  await script.leave("the daemon leaves", daemon);
  await script.connect("daemon again", { as: owner, auth: { clientType: "machine-scoped", machineId: first } });
  await script.connect("daemon of an unknown machine", { as: owner, auth: { clientType: "machine-scoped", machineId: "unknown" } });

  await script.call("a stranger deletes", "DELETE", `/v1/machines/${first}`, { as: stranger });
  await script.call("delete", "DELETE", `/v1/machines/${first}`, { as: owner });
  await script.call("delete again", "DELETE", `/v1/machines/${first}`, { as: owner });
  await script.call("one that was deleted", "GET", `/v1/machines/${first}`, { as: owner });
  await make("its id is free again", { id: first, metadata: "m" }, stranger);
  await script.call("all that is left", "GET", "/v1/machines", { as: owner });
}
