// Friends, their requests, and the feed.

export async function people(script) {
  const [anna, ben, cleo] = [await script.account("anna"), await script.account("ben"), await script.account("cleo")];
  await script.connect("anna's phone", { as: anna });
  await script.connect("ben's phone", { as: ben });
  const friend = (name, what, as, uid) => script.call(name, "POST", `/v1/friends/${what}`, { as, body: { uid } });
  const both = async (when) => {
    await script.call(`anna's friends ${when}`, "GET", "/v1/friends", { as: anna });
    await script.call(`ben's friends ${when}`, "GET", "/v1/friends", { as: ben });
  };

  await script.call("a person", "GET", `/v1/user/${ben.id}`, { as: anna });
  await script.call("oneself", "GET", `/v1/user/${anna.id}`, { as: anna });
  await script.call("nobody", "GET", "/v1/user/none", { as: anna });
  await script.call("nobody has a name yet", "GET", "/v1/user/search?query=a", { as: anna });
  await script.call("an empty search", "GET", "/v1/user/search?query=", { as: anna });
  await script.call("no feed yet", "GET", "/v1/feed", { as: anna });
  await both("before");
  await friend("add oneself", "add", anna, anna.id);
  await friend("add nobody", "add", anna, "none");
  await friend("remove nobody", "remove", anna, "none");
  await friend("remove one who is none", "remove", anna, ben.id);
  await friend("anna asks ben", "add", anna, ben.id);
  await both("when asked");
  await friend("anna asks again", "add", anna, ben.id);
  await script.call("ben as anna sees him", "GET", `/v1/user/${ben.id}`, { as: anna });
  await script.call("ben's feed", "GET", "/v1/feed", { as: ben });
  await friend("ben agrees", "add", ben, anna.id);
  await both("as friends");
  await script.call("anna's feed of a friend", "GET", "/v1/feed", { as: anna });
  await script.call("ben's feed of a friend", "GET", "/v1/feed", { as: ben });
  await friend("a friend is added again", "add", anna, ben.id);
  await friend("anna removes ben", "remove", anna, ben.id);
  await both("after anna's no");
  await friend("ben takes it back", "remove", ben, anna.id);
  await both("after ben took it back");
  await friend("anna refuses or forgets", "remove", anna, ben.id);
  await both("after both");
  await friend("cleo asks anna", "add", cleo, anna.id);
  await friend("anna says no", "remove", anna, cleo.id);
  await script.call("cleo's friends after the no", "GET", "/v1/friends", { as: cleo });
  await friend("cleo asks once more", "add", cleo, anna.id);
  await friend("cleo takes it back", "remove", cleo, anna.id);
  await friend("cleo asks after taking it back", "add", cleo, anna.id);
  await script.call("cleo's friends at last", "GET", "/v1/friends", { as: cleo });
  const feed = await script.call("anna's feed at last", "GET", "/v1/feed", { as: anna });
  const cursor = feed.items?.[0]?.cursor;
  await script.call("one of the feed", "GET", "/v1/feed?limit=1", { as: anna });
  await script.call("before the newest", "GET", `/v1/feed?before=${cursor}`, { as: anna });
  await script.call("after the newest", "GET", `/v1/feed?after=${cursor}`, { as: anna });
  await script.call("before wins over after", "GET", `/v1/feed?before=${cursor}&after=${cursor}`, { as: anna });
  await script.call("a cursor that is none", "GET", "/v1/feed?before=nonsense", { as: anna });
}
