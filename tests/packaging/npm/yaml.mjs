// Prints all documents of a YAML file as one JSON list: `node yaml.mjs FILE`.
import { readFileSync } from "node:fs";
import { parseAllDocuments } from "yaml";

const documents = parseAllDocuments(readFileSync(process.argv[2], "utf8"), { strict: true });
for (const document of documents) if (document.errors.length > 0) throw document.errors[0];
console.log(JSON.stringify(documents.map((document) => document.toJS())));
