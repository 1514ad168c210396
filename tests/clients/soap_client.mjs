// Walks the API by `soap` for Node (https://www.npmjs.com/package/soap) from its WSDL: a caller from the digits to the reset.
// Arguments: WSDL, CA file (Node reads it from NODE_EXTRA_CA_CERTS), API user, a file with its password, version (1.1 or
// 1.2). Prints what came of it as JSON.

import { readFileSync } from "node:fs";
import soap from "soap";

const [wsdl, , user, passwordFile, version] = process.argv.slice(2);
const password = readFileSync(passwordFile, "utf8");
const client = await soap.createClientAsync(wsdl, { forceSoap12Headers: version === "1.2" });
const port = client.Passline[version === "1.2" ? "PasslineSoap12" : "PasslineSoap11"];
const once = (name, members) =>
  new Promise((resolve, reject) =>
    port[name](members, (error, result) => (error ? reject(error) : resolve(result))));
const kindOf = (error) => /<p:type>([^<]*)<\/p:type>/.exec(error.body ?? error.response?.data ?? "")?.[1];
// Sent again, with the same key, as long as it is not known what came of it.
const call = async (name, members) => {
  for (let tries = 0; ; tries += 1) {
    try {
      return await once(name, members);
    } catch (error) {
      if (tries === 20 || !["busy", "unfinished", "in-progress"].includes(kindOf(error))) throw error;
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }
};
const list = (value) => (value === undefined || value === null ? [] : Array.isArray(value) ? value : [value]);

const told = {};
const login = await call("Login", { user, password });
const sessionId = login.sessionId;
const { users } = await call("UserIVRList", { sessionId, digits: "4711", idempotencyKey: "i" });
const asked = await call("UserQuestionsGet", { sessionId, user: list(users)[0].user });
const answers = list(asked.questions).map((question) => ({
  question: question.question,
  digits: question.text.includes("badge") ? "835164" : "2009",
}));
told.result = (await call("UserAnswersValidate", { sessionId, answers, idempotencyKey: "a" })).result;
const proposed = await call("PasswordRandomGet", { sessionId, idempotencyKey: "p" });
told.spoken = list(proposed.speak).length;
let job = await call("UserPasswordSync", { sessionId, password: proposed.password, idempotencyKey: "s" });
while (job.status === "running") job = await call("JobGet", { sessionId, job: job.job });
told.status = job.status;
told.outcomes = list(job.accounts).map((account) => account.outcome);
await call("Logout", { sessionId });
try {
  await call("UserAccountList", { sessionId });
} catch (error) {
  told.afterLogout = kindOf(error);
}
console.log(JSON.stringify(told));
