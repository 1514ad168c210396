// Walks one caller through the web API of Passline: from the digits to the reset. Settings: see README.md beside this file.

import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import https from "node:https";
import readline from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

const { PASSLINE_URL, PASSLINE_CA, PASSLINE_USER, PASSLINE_PASSWORD_FILE } = process.env;
// The certificate and the name in it are checked against this authority alone. (The built-in `fetch` takes authorities from
// NODE_EXTRA_CA_CERTS only, beside all those that Node knows.)
const ca = readFileSync(PASSLINE_CA);
let session;

// Sends a request; status, seconds to wait, and the answer.
const send = (name, body) =>
  new Promise((resolve, reject) => {
    const headers = { "content-type": "application/json" };
    if (session) headers.authorization = `Bearer ${session}`;
    const signal = AbortSignal.timeout(10_000);
    const request = https.request(`${PASSLINE_URL}/api/v1/${name}`, { method: "POST", ca, headers, signal }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part) => (text += part));
      response.on("error", reject);
      response.on("end", () => {
        try {
          resolve([response.statusCode, Number(response.headers["retry-after"] ?? 1), JSON.parse(text)]);
        } catch {
          reject(Object.assign(new Error("that is no answer of Passline"), { fatal: true }));
        }
      });
    });
    request.on("error", reject);
    request.end(body);
  });

// What may be sent again as it is, with the same idempotency key.
const PASSING = ["busy", "unfinished", "in-progress", "too-many-requests"];
// It will not become better by waiting.
const isFatal = (error) => error.fatal || /CERT|ALTNAME|SELF_SIGNED|ISSUER|SIGNATURE/.test(error.code ?? "");

// What a call is answered with. It is sent again when the server has no time for it, or when its answer was lost.
const call = async (name, request = {}) => {
  const body = JSON.stringify(request);
  for (let tries = 0; tries < 20; tries += 1) {
    let status, wait, answer;
    try {
      [status, wait, answer] = await send(name, body);
    } catch (error) {
      if (isFatal(error)) throw error;
      await sleep(1_000);
      continue;
    }
    if (status === 200) return answer;
    // Tell faults apart by their type; titles and details are for people.
    const kind = (answer.type ?? "").replace("urn:passline:problem:", "");
    if (!PASSING.includes(kind)) throw new Error(`${name}: ${kind} (${status})`);
    await sleep(wait * 1_000);
  }
  throw new Error(`${name} does not come to an end`);
};

// A key for one request. Repetitions of this request have the same one.
const key = () => randomUUID();

const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
// Says something, and takes what the caller keys.
const ask = async (text) => {
  console.log(text);
  return ((await lines.next()).value ?? "").trim();
};

const verify = async () => {
  // There is always at least one entry; several mean that people share these digits: let the caller choose.
  const digits = await ask("Please key your number:");
  const { users } = await call("UserIVRList", { digits, idempotencyKey: key() });
  for (;;) {
    // All questions of the round are asked, then the answers are judged together.
    const { questions } = await call("UserQuestionsGet", { user: users[0].user });
    const answers = [];
    for (const { question, text } of questions) answers.push({ question, digits: await ask(text) });
    const { result } = await call("UserAnswersValidate", { answers, idempotencyKey: key() });
    if (result !== "retry") return result === "passed"; // else it is "failed" or "locked"
    console.log("That was not right. Once more:"); // the same questions
  }
};

const reset = async () => {
  // `speak` says how to read it out, character by character; with `audio: "mulaw"` it is there as sound. Ask again, with
  // another key, until one pleases the caller.
  const { password, speak } = await call("PasswordRandomGet", { idempotencyKey: key() });
  console.log(`The new password has ${speak.length} characters.`);
  let job = await call("UserPasswordSync", { password, idempotencyKey: key() });
  // What takes longer than two seconds goes on, and is asked for.
  const until = Date.now() + 120_000;
  while (job.status === "running" && Date.now() < until) {
    await sleep(500);
    job = await call("JobGet", { job: job.job });
  }
  return job;
};

// Give the caller's number too, if you have it: caller: "+15550142".
const password = readFileSync(PASSLINE_PASSWORD_FILE, "utf8").split(/\r?\n/)[0];
try {
  ({ sessionId: session } = await call("Login", { user: PASSLINE_USER, password }));
  let job;
  try {
    if (!(await verify())) throw new Error("not verified");
    job = await reset();
  } finally {
    // The session ends in any case: also when the caller hangs up, or something fails.
    await call("Logout");
  }
  for (const { system, name, outcome } of job.accounts) console.log(`${system} ${name}: ${outcome}`);
  process.exitCode = job.status === "done" ? 0 : 1;
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
process.stdin.destroy();
