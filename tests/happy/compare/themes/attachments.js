// Encrypted blobs of a session.

export async function attachments(script) {
  const owner = await script.account("owner");
  const stranger = await script.account("stranger");
  const made = await script.quietly("POST", "/v1/sessions", { as: owner, body: { tag: "s", metadata: "m" } });
  const id = made.session.id;
  script.names.give(id, "session");
  const path = `/v1/sessions/${id}/attachments`;
  const upload = (name, body, as = owner, headers = {}) => script.call(name, "POST", `${path}/request-upload`, { as, body, headers });
  const put = (name, file, raw, as = owner) => script.call(name, "PUT", `${path}/${file}`, { as, type: "application/octet-stream", raw });

  const told = await upload("ask to upload", { filename: "../../photo.png", size: 5 });
  const file = told.ref?.split("/").at(-1) ?? "none.enc";
  script.names.give(file, "file");
  script.names.give(file.replace(/\.enc$/, ""), "file's id");
  await script.note("the URL begins with the server's", String(told.uploadUrl).startsWith(script.base));
  await upload("through a proxy", { filename: "f", size: 5 }, owner, { "x-forwarded-proto": "https", "x-forwarded-host": "happy.example" });
  await upload("nothing", { filename: "f", size: 0 });
  await upload("less than nothing", { filename: "f", size: -1 });
  await upload("the most", { filename: "f", size: 10485760 });
  await upload("for a stranger", { filename: "f", size: 5 }, stranger);
  await put("upload", file, Buffer.from([0, 1, 2, 253, 254, 255]));
  await put("upload again", file, Buffer.from([9, 8, 7]));
  await put("upload by a stranger", file, Buffer.from([1]), stranger);
  await put("upload up the tree", "..%2Fup.enc", Buffer.from([1]));
  await put("upload to a folder", "a%2Fb.enc", Buffer.from([1]));
  await put("upload too much", "large.enc", Buffer.alloc(10485761));
  await script.call("upload without a token", "PUT", `${path}/${file}`, { type: "application/octet-stream", raw: Buffer.from([1]) });
  const download = (name, ref, as = owner) => script.call(name, "POST", `${path}/request-download`, { as, body: { ref } });
  await download("ask to download", told.ref ?? "none");
  await download("one that is not there", `sessions/${id}/attachments/none.enc`);
  await download("of another session", "sessions/other/attachments/a.enc");
  await download("of a folder", `sessions/${id}/attachments/a/b.enc`);
  await download("up the tree", `sessions/${id}/attachments/..`);
  await download("of nothing", `sessions/${id}/attachments/`);
  await download("download for a stranger", told.ref ?? "none", stranger);
  const get = (name, name2, as = owner) => script.call(name, "GET", `${path}/${name2}`, { as, bytes: true });
  await get("download", file);
  await get("download what is not there", "none.enc");
  await get("download up the tree", "..%2Fup.enc");
  await get("download by a stranger", file, stranger);
  await script.call("without a token the old way", "GET", `/files/sessions/${id}/attachments/${file}`, { bytes: true });
  for (let at = 0; at < 60; at++) await script.quietly("POST", `${path}/request-upload`, { as: stranger, body: { filename: "f", size: 5 } });
  await upload("more than sixty a minute", { filename: "f", size: 5 }, stranger);
  await script.call("the session goes", "DELETE", `/v1/sessions/${id}`, { as: owner });
  await get("and its blobs with it", file);
}
