// Takes out of an answer what differs from run to run: ids, times, tokens, the server's address.

/** Values that the script knows by a name of its own. */
export class Names {
  constructor(base) {
    this.base = base;
    /** @type {[string, string][]} */
    this.known = [];
  }

  give(value, name) {
    if (typeof value !== "string" || value === "") return;
    if (this.known.some(([known]) => known === value)) return;
    this.known.push([value, `<${name}>`]);
    this.known.sort(([a], [b]) => b.length - a.length);
  }

  in(text) {
    let out = text.replaceAll(this.base, "<base>");
    for (const [value, name] of this.known) out = out.replaceAll(value, name);
    return out;
  }
}

const LONG = 2000;
const TIMES = new Set(["createdAt", "updatedAt", "activeAt", "timestamp", "time"]);
const IDS = new Set(["id", "reportId", "sid", "conversationId"]);

/** A copy of `value` that is equal to that of any other run. */
export function plain(value, names, started) {
  const now = Date.now();
  const recent = (time) => time >= started - 120_000 && time <= now + 120_000;

  const walk = (at, key) => {
    if (typeof at === "string") return text(at, key);
    if (typeof at === "number") {
      if (!TIMES.has(key)) return at;
      if (recent(at)) return "<now>";
      const minutes = Math.round((at - now) / 60_000);
      if (Math.abs(minutes) < 24 * 60) return `<now and ${minutes} minutes>`;
      // The start of an hour or a day, in seconds.
      return recent(at * 1000) || recent(at * 1000 + 86_400_000 / 2) || (at * 1000 < now && at * 1000 > now - 90_000_000) ? "<seconds>" : at;
    }
    if (Array.isArray(at)) return at.map((item) => walk(item, key));
    if (at === null || typeof at !== "object") return at;
    if ("seq" in at && "localId" in at && typeof at.id === "string") names.give(at.id, `message ${at.seq}`);
    // The envelope of an update has an id that nothing else refers to.
    const envelope = "seq" in at && "body" in at && "createdAt" in at && Object.keys(at).length === 4 && typeof at.body === "object";
    const failed = "error" in at && "message" in at && "statusCode" in at;
    return Object.fromEntries(
      Object.entries(at).map(([name, item]) => {
        if (envelope && name === "id") return [name, typeof item === "string" && item !== "" ? "<update>" : item];
        if (failed && name === "message" && at.statusCode !== 500) return [name, "<words>"];
        return [name, walk(item, name)];
      }),
    );
  };

  const text = (at, key) => {
    if (at.length > LONG) return `<${at.length} letters from ${names.in(at.slice(0, 20))}>`;
    const token = told(at, names);
    if (token) return token;
    const out = names.in(at);
    if (out !== at) return out.replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, "<uuid>");
    if (/^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(at)) return "<now>";
    if (IDS.has(key) && /^[\w-]{8,64}$/.test(at)) return "<id>";
    return at;
  };

  return walk(value, "");
}

/** What is in a token, read as the app reads it: with a plain `atob`. */
function told(text, names) {
  const parts = text.split(".");
  if (parts.length !== 3 || text.length < 60 || parts.some((part) => part === "" || /\s/.test(part))) return undefined;
  try {
    const claims = JSON.parse(atob(parts[1]));
    const account = names.in(String(claims.sub));
    return `<token of ${account === claims.sub ? "an account" : account}${claims.session ? " for a terminal" : ""}>`;
  } catch {
    return undefined;
  }
}
