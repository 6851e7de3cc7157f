// The transport below, by plain calls.

const PATH = "/v1/updates/";

export async function engine(script) {
  const owner = await script.account("owner");
  const knock = (name, query, more = {}) => script.call(name, more.method ?? "GET", `${PATH}?${query}`, { raw: more.raw, type: more.raw === undefined ? undefined : "text/plain;charset=UTF-8", headers: more.headers, show: more.show });
  await knock("no transport", "EIO=4");
  await knock("an unknown transport", "EIO=4&transport=pigeon");
  await knock("an old protocol", "EIO=3&transport=polling");
  await knock("no protocol", "transport=polling");
  await knock("an unknown session", "EIO=4&transport=polling&sid=unknown");
  await knock("another method", "EIO=4&transport=polling", { method: "POST", raw: "40" });
  await knock("a websocket without an upgrade", "EIO=4&transport=websocket");
  await script.call("the path without its slash", "GET", "/v1/updates?EIO=4&transport=polling");
  await script.call("a page of another origin asks before", "OPTIONS", `${PATH}?EIO=4&transport=polling`, {
    headers: { origin: "https://app.example", "access-control-request-method": "GET" },
    show: ["access-control-allow-origin"],
  });

  const open = async () => {
    const answer = await fetch(`${script.base}${PATH}?EIO=4&transport=polling`);
    return { status: answer.status, told: await answer.text() };
  };
  const hello = await open();
  const opened = JSON.parse(hello.told.slice(1));
  script.names.give(opened.sid, "sid");
  await script.note("the first packet", { kind: hello.told[0], ...opened });
  const at = `EIO=4&transport=polling&sid=${opened.sid}`;
  await knock("join without a token", at, { method: "POST", raw: "40" });
  await knock("and be refused", at);
  await knock("join with one", at, { method: "POST", raw: `40${JSON.stringify({ token: owner.token })}` }).then(() => undefined);
  const joined = await (await fetch(`${script.base}${PATH}?${at}`)).text();
  await script.note("after a refusal one may join", { kind: joined.slice(0, 2), fields: joined.startsWith("40") ? Object.keys(JSON.parse(joined.slice(2))) : joined });
  await knock("another namespace", at, { method: "POST", raw: "40/admin," });
  await knock("and be told", at);
  await knock("two packets at once", at, { method: "POST", raw: `420["ping"]\u001e421["ping"]` });
  await knock("and two answers", at);
  await knock("an event of a type that is none", at, { method: "POST", raw: "4x" });
  await knock("and it is over", at);

  const early = JSON.parse((await open()).told.slice(1));
  script.names.give(early.sid, "early sid");
  const before = `EIO=4&transport=polling&sid=${early.sid}`;
  await knock("an event before joining", before, { method: "POST", raw: '42["ping"]' });
  await knock("it is over too", before);
}
