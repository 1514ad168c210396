"""Walks the API by zeep (https://docs.python-zeep.org) from its WSDL: a caller from the digits to the reset, and what
goes wrong on the way. Arguments: WSDL, CA file, API user, a file with its password, name of the port. Prints what came of it as JSON."""

import json
import sys

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


def problem(call, **members):
    """The type of the problem that a call ends with, from the typed detail of its fault."""
    try:
        call(**members)
    except zeep.exceptions.Fault as fault:
        detail = fault.detail
        if not isinstance(detail, etree._Element):
            raise
        found = detail.find(f".//{NAMESPACE}Problem/{NAMESPACE}type")
        return found.text
    raise SystemExit("there was no fault")


told = {}
told["wrong_password"] = problem(service.Login, user=user, password="wrong wrong wrong")
login = service.Login(user=user, password=password, language="en-US")
sid = login.sessionId
told["language"] = login.language
told["too_early"] = problem(service.UserAccountList, sessionId=sid)
told["no_session"] = problem(service.UserAccountList, sessionId="A" * 43)

users = service.UserIVRList(sessionId=sid, digits="4711").users
told["users"] = [listed.label for listed in users]
# Of a response with one member, zeep gives the member.
questions = service.UserQuestionsGet(sessionId=sid, user=users[0].user, audio="mulaw")
told["audio"] = all((question.audio or "").startswith("UklGR") for question in questions)
answers = [
    {"question": question.question, "digits": "835164" if "badge" in question.text else "2009"} for question in questions
]
told["result"] = service.UserAnswersValidate(sessionId=sid, answers=answers, idempotencyKey="a")
told["accounts"] = [account.system for account in service.UserAccountList(sessionId=sid)]
proposed = service.PasswordRandomGet(sessionId=sid)
told["spoken"] = len(proposed.speak)
job = service.UserPasswordSync(sessionId=sid, password=proposed.password, expire=True, idempotencyKey="s", ticket="INC1")
told["status"] = job.status
told["outcomes"] = [account.outcome for account in job.accounts]
again = service.UserPasswordSync(sessionId=sid, password=proposed.password, expire=True, idempotencyKey="s", ticket="INC1")
told["same_job"] = again.job == job.job and service.JobGet(sessionId=sid, job=job.job).job == job.job
unlocked = service.UserAccountsUnlock(sessionId=sid, idempotencyKey="u")
told["unlocked"] = [account.outcome for account in unlocked.accounts]
told["not_allowed"] = problem(service.UserPasswordSync, sessionId=sid, value="Tr4velling-lamp", idempotencyKey="v")
service.Logout(sessionId=sid)
told["after_logout"] = problem(service.UserAccountList, sessionId=sid)
print(json.dumps(told))
