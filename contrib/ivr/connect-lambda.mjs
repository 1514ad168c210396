// The AWS Lambda function of a contact flow (Node.js 20): hands the event to Passline, and its answer, a flat map, to the flow.
// docs/IVR.md has the flow.
//
// Environment: PASSLINE_URL (https://HOST:8443/ivr/connect/reset), PASSLINE_USER and PASSLINE_PASSWORD (an API user that may come from
// the function's address and has the right read-password), and NODE_EXTRA_CA_CERTS if the certificate is of an authority of your own.

const { PASSLINE_URL, PASSLINE_USER, PASSLINE_PASSWORD } = process.env;
const authorization = "Basic " + Buffer.from(`${PASSLINE_USER}:${PASSLINE_PASSWORD}`).toString("base64");

export const handler = async (event) => {
  for (let tries = 0; ; tries++) {
    const response = await fetch(PASSLINE_URL, {
      method: "POST",
      headers: { "content-type": "application/json", authorization },
      body: JSON.stringify(event),
      signal: AbortSignal.timeout(3000),
    });
    // Asked again with the same page, nothing is done twice.
    const hasBegun = event.Details.Parameters?.session;
    if (response.status === 503 && hasBegun && tries < 1) continue;
    if (!response.ok) throw new Error(`Passline: ${response.status} ${(await response.json()).title}`);
    return await response.json();
  }
};
