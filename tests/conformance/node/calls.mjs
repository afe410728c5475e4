// Makes the calls that it reads from stdin with OpenAI's client for Node, one after the other, and prints what the
// client made of each answer: the object, the events of a stream, or the error.
import OpenAI from "openai";

let read = "";
for await (const piece of process.stdin) read += piece;
const { baseURL, apiKey, calls } = JSON.parse(read);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const creates = {
  chat: (body) => client.chat.completions.create(body),
  completions: (body) => client.completions.create(body),
  responses: (body) => client.responses.create(body),
};

async function told({ api, body }) {
  try {
    const answer = await creates[api](body);
    if (!body.stream) return { whole: answer };
    const events = [];
    for await (const event of answer) events.push(event);
    return { events };
  } catch (error) {
    if (error.status === undefined) throw error;
    return { error: error.status, kind: error.constructor.name, body: error.error };
  }
}

const out = [];
for (const call of calls) out.push(await told(call));
process.stdout.write(JSON.stringify(out));
