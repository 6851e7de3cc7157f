// Artifacts over REST and over the socket.

import { randomUUID } from "node:crypto";

export async function artifacts(script) {
  const owner = await script.account("owner");
  const stranger = await script.account("stranger");
  const [first, second, empty] = [randomUUID(), randomUUID(), randomUUID()];
  script.names.give(first, "artifact 1");
  script.names.give(second, "artifact 2");
  script.names.give(empty, "empty artifact");
  const phone = await script.connect("phone", { as: owner });
  const theirs = await script.connect("stranger's phone", { as: stranger });
  const blobs = { header: "aGVhZA==", body: "Ym9keQ==", dataEncryptionKey: "AAECAw==" };
  const make = (name, body, as = owner) => script.call(name, "POST", "/v1/artifacts", { as, body });

  await script.call("none yet", "GET", "/v1/artifacts", { as: owner });
  await make("a new one", { id: first, ...blobs });
  await make("the same again", { id: first, ...blobs, header: "b3RoZXI=" });
  await make("a stranger's with the same id", { id: first, ...blobs }, stranger);
  await make("an empty one", { id: empty, header: "", body: "", dataEncryptionKey: "" });
  await script.call("one", "GET", `/v1/artifacts/${first}`, { as: owner });
  await script.call("one for a stranger", "GET", `/v1/artifacts/${first}`, { as: stranger });
  const set = (name, body, as = owner) => script.call(name, "POST", `/v1/artifacts/${first}`, { as, body });
  await set("a new header", { header: "aDI=", expectedHeaderVersion: 1 });
  await set("an old header", { header: "aDM=", expectedHeaderVersion: 1 });
  await set("both, one of them old: nothing happens", { header: "aDM=", expectedHeaderVersion: 2, body: "YjI=", expectedBodyVersion: 9 });
  await set("both old", { header: "aDM=", expectedHeaderVersion: 7, body: "YjI=", expectedBodyVersion: 9 });
  await set("both", { header: "aDM=", expectedHeaderVersion: 2, body: "YjI=", expectedBodyVersion: 1 });
  await set("a header without a version does not count", { header: "aDQ=", body: "YjM=", expectedBodyVersion: 2 });
  await set("nothing", {});
  await set("by a stranger", { header: "eA==", expectedHeaderVersion: 3 }, stranger);
  await script.call("what came of it", "GET", `/v1/artifacts/${first}`, { as: owner });
  await script.call("all, without their bodies", "GET", "/v1/artifacts", { as: owner });

  await script.ask("create over the socket", phone, "artifact-create", { id: second, ...blobs });
  await script.ask("create the same again", phone, "artifact-create", { id: second, ...blobs });
  await script.ask("create another's", theirs, "artifact-create", { id: second, ...blobs });
  await script.ask("create without an id", phone, "artifact-create", { ...blobs });
  await script.ask("create without a key", phone, "artifact-create", { id: second, header: "aA==", body: "aA==" });
  await script.ask("read", phone, "artifact-read", { artifactId: second });
  await script.ask("read an unknown one", phone, "artifact-read", { artifactId: "none" });
  await script.ask("read another's", theirs, "artifact-read", { artifactId: second });
  await script.ask("read without an id", phone, "artifact-read", {});
  await script.ask("read without a payload", phone, "artifact-read", null);
  const change = (name, more, socket = phone) => script.ask(name, socket, "artifact-update", { artifactId: second, ...more });
  await change("a header over the socket", { header: { data: "aDI=", expectedVersion: 1 } });
  await change("an old header over the socket", { header: { data: "aDM=", expectedVersion: 1 } });
  await change("both over the socket", { header: { data: "aDM=", expectedVersion: 2 }, body: { data: "YjI=", expectedVersion: 1 } });
  await change("both old over the socket", { header: { data: "aDM=", expectedVersion: 2 }, body: { data: "YjI=", expectedVersion: 1 } });
  await change("nothing over the socket", {});
  await change("a header without its version", { header: { data: "aDM=" } });
  await change("a body that is a number", { body: { data: 5, expectedVersion: 2 } });
  await change("another's", { header: { data: "aDM=", expectedVersion: 3 } }, theirs);
  await script.ask("update without an id", phone, "artifact-update", { header: { data: "aDM=", expectedVersion: 3 } });
  await script.ask("delete another's", theirs, "artifact-delete", { artifactId: second });
  await script.ask("delete", phone, "artifact-delete", { artifactId: second });
  await script.ask("delete again", phone, "artifact-delete", { artifactId: second });
  await script.ask("delete without an id", phone, "artifact-delete", {});

  await script.call("delete for a stranger", "DELETE", `/v1/artifacts/${first}`, { as: stranger });
  await script.call("delete over REST", "DELETE", `/v1/artifacts/${first}`, { as: owner });
  await script.call("delete over REST again", "DELETE", `/v1/artifacts/${first}`, { as: owner });
  await make("a blob that is no base64", { id: randomUUID(), ...blobs, header: "%%%" });
}
