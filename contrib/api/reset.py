#!/usr/bin/env python3
"""Walks one caller through the web API of Passline: from the digits to the reset. Settings: see README.md beside this file."""

import http.client
import json
import os
import ssl
import sys
import time
import urllib.parse
import uuid

# What may be sent again as it is, with the same idempotency key.
PASSING = {"busy", "unfinished", "in-progress", "too-many-requests"}


class Fault(Exception):
    """A call that was not carried out. Tell faults apart by their kind; titles and details are for people."""

    def __init__(self, name, status, kind):
        super().__init__(f"{name}: {kind} ({status})")
        self.kind = kind


class Passline:
    """A session for one caller."""

    def __init__(self, url, ca_file):
        parts = urllib.parse.urlsplit(url)
        if parts.scheme != "https":
            raise SystemExit("PASSLINE_URL begins with https://")
        self.address = (parts.hostname, parts.port or 443)
        # The certificate and the name in it are checked against this authority alone.
        self.tls = ssl.create_default_context(cafile=ca_file)
        self.session = None

    def call(self, name, **request):
        """What a call is answered with. It is sent again when the server has no time for it, or when its answer was lost."""
        body = json.dumps(request).encode()
        for _ in range(20):
            try:
                status, wait, answer = self._send(name, body)
            except ssl.SSLCertVerificationError:
                raise  # It will not become better.
            except (OSError, http.client.HTTPException):
                time.sleep(1)
                continue
            if status == 200:
                return answer
            kind = answer.get("type", "").removeprefix("urn:passline:problem:")
            if kind not in PASSING:
                raise Fault(name, status, kind)
            time.sleep(wait)
        raise SystemExit(f"{name} does not come to an end")

    def _send(self, name, body):
        connection = http.client.HTTPSConnection(*self.address, timeout=10, context=self.tls)
        try:
            headers = {"content-type": "application/json"}
            if self.session:
                headers["authorization"] = f"Bearer {self.session}"
            connection.request("POST", f"/api/v1/{name}", body, headers)
            response = connection.getresponse()
            wait = int(response.headers.get("retry-after", "1"))
            text = response.read()
            return response.status, wait, json.loads(text) if text else {}
        except json.JSONDecodeError:
            raise SystemExit("that is no answer of Passline") from None
        finally:
            connection.close()


def key():
    """A key for one request. Repetitions of this request have the same one."""
    return str(uuid.uuid4())


def ask(text):
    """Says something, and takes what the caller keys."""
    print(text, flush=True)
    return sys.stdin.readline().strip()


def verify(passline):
    """Whether the caller is who they say."""
    # There is always at least one entry; several mean that people share these digits: let the caller choose.
    users = passline.call("UserIVRList", digits=ask("Please key your number:"), idempotencyKey=key())["users"]
    while True:
        # All questions of the round are asked, then the answers are judged together.
        questions = passline.call("UserQuestionsGet", user=users[0]["user"])["questions"]
        answers = [{"question": asked["question"], "digits": ask(asked["text"])} for asked in questions]
        result = passline.call("UserAnswersValidate", answers=answers, idempotencyKey=key())["result"]
        if result != "retry":
            return result == "passed"  # else it is "failed" or "locked"
        print("That was not right. Once more:")  # the same questions


def reset(passline):
    """Sets a new password on all accounts; what came of it."""
    # "speak" says how to read it out, character by character; with audio="mulaw" it is there as sound. Ask again, with
    # another key, until one pleases the caller.
    proposed = passline.call("PasswordRandomGet", idempotencyKey=key())
    print(f"The new password has {len(proposed['speak'])} characters.")
    job = passline.call("UserPasswordSync", password=proposed["password"], idempotencyKey=key())
    # What takes longer than two seconds goes on, and is asked for.
    until = time.monotonic() + 120
    while job["status"] == "running" and time.monotonic() < until:
        time.sleep(0.5)
        job = passline.call("JobGet", job=job["job"])
    return job


def main():
    passline = Passline(os.environ["PASSLINE_URL"], os.environ["PASSLINE_CA"])
    with open(os.environ["PASSLINE_PASSWORD_FILE"], encoding="utf-8") as file:
        password = file.readline().rstrip("\r\n")
    # Give the caller's number too, if you have it: caller="+15550142".
    login = passline.call("Login", user=os.environ["PASSLINE_USER"], password=password)
    passline.session = login["sessionId"]
    try:
        if not verify(passline):
            raise SystemExit("not verified")
        job = reset(passline)
    finally:
        # The session ends in any case: also when the caller hangs up, or something fails.
        passline.call("Logout")
    for account in job["accounts"]:
        print(f"{account['system']} {account['name']}: {account['outcome']}")
    sys.exit(0 if job["status"] == "done" else 1)


if __name__ == "__main__":
    try:
        main()
    except Fault as fault:
        sys.exit(str(fault))
