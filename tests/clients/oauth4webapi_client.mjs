// Introspects tokens with oauth4webapi. Reads the request as JSON from standard input, and writes the responses as JSON
// to standard output. The argument is the folder of the package.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const package_file = join(process.argv[2], "package.json");
const oauth = await import(pathToFileURL(createRequire(package_file).resolve("oauth4webapi")));

const question = JSON.parse(readFileSync(0, "utf8"));
const server = { issuer: new URL(question.endpoint).origin, introspection_endpoint: question.endpoint };
const client = { client_id: question.client_id };
// Form-encodes id and secret, including "-" and "_".
const authentication = oauth.ClientSecretBasic(question.client_secret);

async function introspect(token) {
    const response = await oauth.introspectionRequest(server, client, authentication, token);
    try {
        return await oauth.processIntrospectionResponse(server, client, response);
    } catch (error) {
        return { error: error.error ?? `${error.code}, status ${response.status}` };
    }
}

const answers = [];
for (const token of question.tokens) {
    answers.push(await introspect(token));
}
process.stdout.write(JSON.stringify(answers));
