"""Walks the API by zeep (https://docs.python-zeep.org) from its WSDL: a caller from the digits to the reset, and what
goes wrong on the way. Arguments: WSDL, CA file, API user, a file with its password, name of the port. Prints what came of it as JSON."""

import json
import sys
import time

import requests
import zeep
from lxml import etree

NAMESPACE = "{urn:passline:api:1}"
wsdl, ca, user, password_file, port = sys.argv[1:]
with open(password_file, encoding="utf-8") as file:
    password = file.read()

session = requests.Session()
session.verify = ca
session.trust_env = False
client = zeep.Client(wsdl, transport=zeep.transports.Transport(session=session))
service = client.bind("Passline", port)


def kind_of(fault):
    """The type of a problem, from the typed detail of a fault."""
    if not isinstance(fault.detail, etree._Element):
        raise fault
    return fault.detail.find(f".//{NAMESPACE}Problem/{NAMESPACE}type").text


def call(operation, **members):
    """A call that is carried out; sent again, with the same key, as long as it is not known what came of it."""
    for _ in range(20):
        try:
            return operation(**members)
        except zeep.exceptions.Fault as fault:
            if kind_of(fault) not in ("busy", "unfinished", "in-progress"):
                raise
            time.sleep(1)
    raise SystemExit("it does not come to an end")


def problem(operation, **members):
    """The type of the problem that a call ends with."""
    try:
        call(operation, **members)
    except zeep.exceptions.Fault as fault:
        return kind_of(fault)
    raise SystemExit("there was no fault")


told = {}
told["wrong_password"] = problem(service.Login, user=user, password="wrong wrong wrong")
login = call(service.Login, user=user, password=password, language="en-US")
sid = login.sessionId
told["language"] = login.language
told["too_early"] = problem(service.UserAccountList, sessionId=sid)
told["no_session"] = problem(service.UserAccountList, sessionId="A" * 43)

users = call(service.UserIVRList, sessionId=sid, digits="4711", idempotencyKey="i").users
told["users"] = [listed.label for listed in users]
# Of a response with one member, zeep gives the member.
questions = call(service.UserQuestionsGet, sessionId=sid, user=users[0].user, audio="mulaw")
# One that has no recording is spoken by an engine, if that is quick enough.
told["audio"] = [question.audio[:5] for question in questions if question.promptId]
answers = [
    {"question": question.question, "digits": "835164" if "badge" in question.text else "2009"} for question in questions
]
told["result"] = call(service.UserAnswersValidate, sessionId=sid, answers=answers, idempotencyKey="a")
told["accounts"] = [account.system for account in call(service.UserAccountList, sessionId=sid)]
proposed = call(service.PasswordRandomGet, sessionId=sid, idempotencyKey="p")
told["spoken"] = len(proposed.speak)
job = call(service.UserPasswordSync, sessionId=sid, password=proposed.password, expire=True, idempotencyKey="s", ticket="INC1")
while job.status == "running":
    time.sleep(0.1)
    job = call(service.JobGet, sessionId=sid, job=job.job)
told["status"] = job.status
told["outcomes"] = [account.outcome for account in job.accounts]
again = call(service.UserPasswordSync, sessionId=sid, password=proposed.password, expire=True, idempotencyKey="s", ticket="INC1")
told["same_job"] = again.job == job.job and call(service.JobGet, sessionId=sid, job=job.job).job == job.job
unlocked = call(service.UserAccountsUnlock, sessionId=sid, idempotencyKey="u")
while unlocked.status == "running":
    time.sleep(0.1)
    unlocked = call(service.JobGet, sessionId=sid, job=unlocked.job)
told["unlocked"] = [account.outcome for account in unlocked.accounts]
told["not_allowed"] = problem(service.UserPasswordSync, sessionId=sid, value="Tr4velling-lamp", idempotencyKey="v")
call(service.Logout, sessionId=sid)
told["after_logout"] = problem(service.UserAccountList, sessionId=sid)
print(json.dumps(told))
