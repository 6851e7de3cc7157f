// Where another answer than the original server's is meant: in which exchanges, in which places
// of the answer, what is answered instead, and why.

const status = (...wanted) => (answer) => wanted.includes(answer.status);

/** @type {{names: RegExp, at: RegExp, is?: (answer: any, heard: any) => boolean, reason: string}[]} */
export const deliberate = [
  {
    names: /^sign-in: (a short key|a short signature|no base64|empty fields)$|^pairing: a key that is no base64 asks$/,
    at: /^answer\./,
    is: status(400, 401),
    reason: "malformed base64 is refused; the original fails with 500",
  },
  {
    names: /^pairing: the state of a key that is no base64$/,
    at: /^answer\./,
    is: (answer) => [400, 401].includes(answer.status) || answer.body?.status === "not_found",
    reason: "malformed base64 is refused or unknown; the original fails with 500",
  },
  {
    names: /^artifacts: a blob that is no base64$/,
    at: /^answer\./,
    is: status(400),
    reason: "malformed base64 is refused; the original fails with 500",
  },
  {
    names: /^machines: a stranger's with the same id$/,
    at: /^answer\./,
    is: status(409),
    reason: "a machine's id that another account has is 409, which the CLI explains to people; the original fails with 500",
  },
  {
    names: /^messages: backwards from even farther away$/,
    at: /^answer\./,
    is: status(200),
    reason: "a number beyond 32 bits is only a large number; the original fails with 500",
  },
  {
    names: /^repetitions: (the one after it|a message that is no text|what is stored)$/,
    at: /^(answer|heard)\./,
    is: (answer, heard) => answer.body === undefined ? (heard.terminal ?? []).every(([, update]) => update.body.message.seq === 2) : answer.body.messages.map(({ seq }) => seq).join() === "1,2",
    reason: "a repeated local id uses no number up, and a message that is no text is not stored: no client sends either",
  },
  {
    names: /^kv: by a prefix with wildcards$/,
    at: /^answer\.body\.items\b/,
    is: (answer) => answer.body.items?.length === 1,
    reason: "a prefix is taken literally; in the original % and _ stand for anything",
  },
  {
    names: /^kv: the same new key twice$/,
    at: /^(answer|heard)\b/,
    is: status(400, 409),
    reason: "one key twice in a batch is refused; the original fails with 500",
  },
  {
    names: /^outside: forget openai again$/,
    at: /^answer\./,
    is: (answer) => answer.status === 200 && answer.body.success === true,
    reason: "a vendor's token that is not there is forgotten too; the original fails with 500",
  },
  {
    names: /^outside: an old iPhone$/,
    at: /^answer\.body\.updateUrl$/,
    is: (answer) => answer.body.updateUrl === null,
    reason: "no client reads the store's link",
  },
  {
    names: /^outside: github's answer with/,
    at: /^answer\.(location|body)$/,
    is: (answer) => answer.status === 302 && /[?&]error=invalid_state$/.test(answer.location ?? ""),
    reason: "back to this box's own page and not to the hosted app",
  },
  {
    names: /^people: /,
    at: /^heard\..*\.body\.repeatKey$/,
    reason: "the app drops a new-feed-post without repeatKey, which the original leaves out",
  },
  {
    names: /^people: a cursor that is none$/,
    at: /^answer\./,
    is: status(400),
    reason: "a cursor that is none is refused; the original fails with 500",
  },
  {
    names: /^session events: metadata of (an unknown|another's) session$/,
    at: /^answer\.ack\b/,
    is: (answer) => answer.ack?.result === "error",
    reason: "metadata of an unknown session is answered; the original never does",
  },
  {
    names: /^machines: no payload$/,
    at: /^answer\.ack\b/,
    is: (answer) => answer.ack?.result === "error",
    reason: "an event without a payload is answered; the original never does",
  },
  {
    names: /^attachments: (upload|download) up the tree$/,
    at: /^answer\./,
    is: status(400),
    reason: "a path that climbs is refused at the door, before any room is asked",
  },
  {
    names: /^attachments: without a token the old way$/,
    at: /^answer\./,
    is: status(401, 403, 404),
    reason: "attachments lie behind a token",
  },
  {
    names: /^http: a preflight$|^engine: a page of another origin asks before$/,
    at: /^answer\.access-control-allow-headers$/,
    is: (answer) => /\*/.test(answer["access-control-allow-headers"]) && /authorization/i.test(answer["access-control-allow-headers"]),
    reason: "Authorization is told beside the star, which does not cover it in newer browsers",
  },
  {
    names: /^engine: the first packet$/,
    at: /^answer\.found\.maxPayload$/,
    is: (answer) => answer.found.maxPayload >= 1_000_000,
    reason: "larger frames are taken: files read by RPC come close to the original's limit",
  },
  {
    names: /^http: health$/,
    at: /^answer\.(body|type)\b/,
    is: (answer) => answer.status === 200 && answer.body.status === "healthy",
    reason: "one box, one wording of /health; no client reads it",
  },
];
