"""Calls as outside IVRs carry them: fetch a page, play its sounds, press keys, ask for the next page.

usage: outside_ivr.py PLATFORM BASE CA_FILE USER PASSWORD_FILE CHARACTERS KEYS [AGI_PORT]

PLATFORM is voicexml, twilio, freeswitch, connect or agi. KEYS has what is pressed, question by question, with commas between;
"-" is silence. CHARACTERS is a file with the recording of each character of passwords. Tells what happened as JSON. Each
platform is imitated from its documents, not from the program under test.
"""

import base64
import io
import json
import re
import socket
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request
import wave
import xml.etree.ElementTree as ElementTree

from twilio.request_validator import RequestValidator

PLATFORM, BASE, CA, USER, PASSWORD_FILE, CHARACTERS, KEYS = sys.argv[1:8]
PASSWORD = open(PASSWORD_FILE).read().strip()
TOKEN = "twilio-auth-token-of-the-test"
keys = KEYS.split(",")
told = {"pages": 0, "sounds": 0, "said": [], "ended": False}
context = ssl.create_default_context(cafile=CA)
sounds = []
FORM = {"content-type": "application/x-www-form-urlencoded"}
BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


def fetch(path, body=None, headers=None, method=None):
    """Status, headers and body."""
    request = urllib.request.Request(urllib.parse.urljoin(BASE, path), data=body, headers=headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=15, context=context) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def post(path, fields, headers=None):
    body = urllib.parse.urlencode(fields).encode()
    headers = {**FORM, **(headers or {})}
    # Once more, as a page of VoiceXML says; other tests keep the machine busy.
    for _ in range(3):
        status, _, answer = fetch(path, body, headers)
        if status != 503:
            break
    assert status == 200, (status, answer)
    told["pages"] += 1
    return answer


def play(url):
    """Fetches a sound; its samples."""
    status, headers, body = fetch(url)
    assert status == 200 and headers["content-type"] == "audio/wav", (url, status)
    with wave.open(io.BytesIO(body)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8000, 1, 2)
        samples = file.readframes(file.getnframes())
    told["sounds"] += 1
    if "/ivr/sound/" in url:
        assert headers["cache-control"] == "no-store"
        sounds.append(samples)


def pressed():
    return keys.pop(0)


def spelled(samples):
    """The characters whose recordings are in a sound, in their order."""
    found = []
    for character, clip in CLIPS.items():
        at = samples.find(clip)
        while at >= 0:
            found.append((at, character))
            at = samples.find(clip, at + len(clip))
    return "".join(character for _, character in sorted(found))


def clips():
    for character, prompt in json.load(open(CHARACTERS)).items():
        status, _, body = fetch(f"/ivr/prompt/en-US/{prompt}.wav")
        if status == 200:
            with wave.open(io.BytesIO(body)) as file:
                yield character, file.readframes(file.getnframes())


def voicexml():
    """A voice browser after VoiceXML 2.1, as far as the pages go."""
    n = "{http://www.w3.org/2001/vxml}"
    refused, headers, _ = fetch("/ivr/voicexml/reset")
    told["unsigned"] = [refused, headers.get("www-authenticate", "")]
    wrong = "Basic " + base64.b64encode(f"{USER}:wrong".encode()).decode()
    told["wrong"] = fetch("/ivr/voicexml/reset", headers={"authorization": wrong})[0]
    told["no_flow"] = fetch("/ivr/voicexml/none", headers={"authorization": BASIC})[0]
    status, headers, body = fetch("/ivr/voicexml/reset?caller=%2B15551234", headers={"authorization": BASIC})
    assert status == 200 and headers["content-type"] == "application/voicexml+xml", (status, body)
    told["pages"] += 1
    last = None
    while True:
        page = ElementTree.fromstring(body)
        variables = {var.get("name"): var.get("expr").strip("'") for var in page.findall(n + "var")}
        form = page.find(n + "form")
        item = form[0]
        for audio in item.iter(n + "audio"):
            play(audio.get("src"))
        if item.find(n + "disconnect") is not None:
            told["ended"] = True
            told["after"] = fetch(last[0], urllib.parse.urlencode(last[1]).encode(), FORM)[0]
            return
        if told["pages"] == 4:
            # Once more, as after a connection that broke: nothing is taken twice. And with a session that nobody has.
            told["again"] = post(*last) == body
            stranger = {**last[1], "passline_session": "x" * 43}
            told["stranger"] = fetch(last[0], urllib.parse.urlencode(stranger).encode(), FORM)[0]
        # A page that only waits leaves no time for keys.
        timeout = next(p.get("value") for p in item.findall(n + "property") if p.get("name") == "timeout")
        entry = "-" if timeout == "10ms" else pressed()
        handler = item.find(n + ("noinput" if entry == "-" else "filled"))
        variables["entry"] = " ".join(entry)
        for step in handler:
            if step.tag == n + "assign":
                expression = step.get("expr")
                variables[step.get("name")] = variables["entry"] if expression == "entry" else expression.strip("'")
        submit = handler.find(n + "submit")
        last = (submit.get("next"), {name: variables[name] for name in submit.get("namelist").split()})
        body = post(*last)


def twilio():
    """Twilio, with the signatures of its own library."""
    common = {"CallSid": "CA0123456789", "From": "+15551234", "To": "+15550000", "CallStatus": "in-progress"}
    validator = RequestValidator(TOKEN)

    def ask(url, fields, authorization=BASIC):
        fields = {**common, **fields}
        whole = urllib.parse.urljoin(BASE, url)
        signature = validator.compute_signature(whole, fields)
        return post(url, fields, {"x-twilio-signature": signature, "authorization": authorization})

    form = {**FORM, "authorization": BASIC}
    told["unsigned"] = fetch("/ivr/twilio/reset", urllib.parse.urlencode(common).encode(), form)[0]
    forged = {**form, "x-twilio-signature": RequestValidator("other").compute_signature(BASE + "/ivr/twilio/reset", common)}
    told["forged"] = fetch("/ivr/twilio/reset", urllib.parse.urlencode(common).encode(), forged)[0]
    body = ask("/ivr/twilio/reset", {})
    # Twilio asks again when it has waited too long: for the same call, not for a second one.
    told["again"] = ask("/ivr/twilio/reset", {}) == body
    while True:
        response = ElementTree.fromstring(body)
        assert response.tag == "Response"
        for sound in response.iter("Play"):
            play(sound.text)
        verb = response[-1]
        if verb.tag == "Hangup":
            told["ended"] = True
            break
        if verb.tag == "Redirect":
            body = ask(verb.text, {})
            continue
        assert verb.tag == "Gather" and verb.get("input") == "dtmf" and verb.get("actionOnEmptyResult") == "true"
        entry = pressed()
        assert len(entry) <= int(verb.get("numDigits")) and int(verb.get("timeout")) > 0
        body = ask(verb.get("action"), {"Digits": "" if entry == "-" else entry})
    # Another caller, who hangs up: Twilio tells it, and the call is over.
    common["CallSid"] = "CA9876543210"
    gather = ElementTree.fromstring(ask("/ivr/twilio/reset", {})).find("Gather")
    assert "session" not in gather.get("action")

    def status(url, fields):
        fields = {**common, **fields}
        signature = validator.compute_signature(urllib.parse.urljoin(BASE, url), fields)
        headers = {**FORM, "x-twilio-signature": signature, "authorization": BASIC}
        return fetch(url, urllib.parse.urlencode(fields).encode(), headers)[0]

    told["completed"] = status("/ivr/twilio/reset", {"CallStatus": "completed"})
    told["after"] = status(gather.get("action"), {"Digits": "4711"})


def matched(action, keys):
    """What the bindings make of keys, one after the other (switch_ivr_dmachine.c): the only one ends the entry as soon as it
    fits, several wait for a terminator or for the pause behind the last key."""
    binds = action.findall("bind")
    entry = ""
    for key in keys:
        if key == action.get("terminators"):
            break
        entry += key
        if len(binds) == 1 and re.match(binds[0].text.removeprefix("~"), entry):
            break
    bind = next(bind for bind in binds if re.match(bind.text.removeprefix("~"), entry))
    return entry.split(bind.get("strip"))[0] if bind.get("strip") else entry


def freeswitch():
    """mod_httapi: parameters are posted back, keys are matched by the bindings of what plays."""
    parameters = {"session_id": "5b1c", "Caller-Caller-ID-Number": "1001", "Caller-Destination-Number": "100"}
    once = {}
    while True:
        body = post("/ivr/freeswitch/reset", {**parameters, **once}, {"authorization": BASIC})
        once = {}
        document = ElementTree.fromstring(body)
        assert document.get("type") == "xml/freeswitch-httapi"
        parameters.update({parameter.tag: parameter.text or "" for parameter in document.find("params")})
        for action in document.find("work"):
            if action.get("file"):
                assert action.get("file").startswith(BASE + "/ivr/"), action.get("file")
                play(action.get("file"))
            if action.tag == "hangup":
                told["ended"] = True
                last = ElementTree.fromstring(post("/ivr/freeswitch/reset", {**parameters, "exiting": "true"}))
                assert len(last.find("work")) == 0
                return
            bind = action.find("bind")
            if bind is None:
                continue
            assert int(action.get("input-timeout")) > 0 and int(action.get("digit-timeout")) > 0
            entry = pressed()
            if entry != "-":
                once[action.get("name")] = matched(action, entry + (action.get("terminators") or ""))
            break


def connect():
    """A Lambda function that hands its event on; Connect itself speaks."""
    parameters = {}
    while True:
        event = {
            "Name": "ContactFlowEvent",
            "Details": {
                "ContactData": {
                    "ContactId": "4a573372",
                    "Channel": "VOICE",
                    "CustomerEndpoint": {"Address": "+15551234", "Type": "TELEPHONE_NUMBER"},
                    "SystemEndpoint": {"Address": "+15550000", "Type": "TELEPHONE_NUMBER"},
                    "Attributes": {},
                },
                "Parameters": parameters,
            },
        }
        headers = {"content-type": "application/json", "authorization": BASIC}
        status, _, body = fetch("/ivr/connect/reset", json.dumps(event).encode(), headers)
        if status != 200:
            told["refused"] = [status, json.loads(body)["type"]]
            return
        page = json.loads(body)
        assert all(isinstance(value, str) for value in page.values()), page
        told["pages"] += 1
        told["said"].append(page["say"])
        parameters = {"session": page["session"], "page": page["page"]}
        if page["then"] == "hangUp":
            told["ended"] = True
            return
        if page["then"] == "collect":
            entry = pressed()
            assert len(entry) <= int(page["mostKeys"])
            parameters.update({"event": "keys", "keys": "Timeout" if entry == "-" else entry})


def agi():
    """The channel of Asterisk at the other end of FastAGI."""
    def call(password, script="reset"):
        channel = socket.create_connection(("127.0.0.1", int(sys.argv[8])), timeout=30)
        variables = {
            "agi_network": "yes",
            "agi_network_script": script,
            "agi_request": f"agi://127.0.0.1/{script}",
            "agi_channel": "SIP/1001-00000001",
            "agi_language": "en",
            "agi_uniqueid": "1700000000.1",
            "agi_callerid": "1001",
            "agi_dnid": "100",
            "agi_extension": "100",
            "agi_arg_1": USER,
        }
        channel.sendall("".join(f"{name}: {value}\n" for name, value in variables.items()).encode() + b"\n")
        commands = channel.makefile("r")
        assert commands.readline() == "GET VARIABLE PASSLINE_PASSWORD\n"
        channel.sendall(f"200 result=1 ({password})\n".encode())
        return channel, commands

    channel, commands = call("wrong")
    told["wrong"] = commands.readline().strip()
    channel.sendall(b"200 result=1\n")
    channel.close()
    channel, commands = call(PASSWORD)
    ahead = ""
    for command in commands:
        command = command.strip()
        told["pages"] += 1
        result = "0"
        if command.startswith("STREAM FILE "):
            _, _, url, escape = command.split(" ")
            play(url.replace("https://127.0.0.1:", "https://localhost:"))
            # The first key of an entry silences what may be silenced.
            if escape != '""' and not ahead and keys and keys[0] not in ("-", "~"):
                ahead = pressed()
                result, ahead = str(ord(ahead[0])), ahead[1:] + "#"
        elif command.startswith("WAIT FOR DIGIT "):
            assert int(command.split(" ")[3]) >= 1000, command
            if keys and keys[0] == "-":
                pressed()
            elif keys and keys[0] == "~":
                # The caller listens to the end, and then keys.
                pressed()
                ahead = pressed() + "#"
            if ahead:
                result, ahead = str(ord(ahead[0])), ahead[1:]
        elif command.startswith("SET VARIABLE "):
            result = "1"
            told["status"] = command.split(" ", 2)[2]
        elif command == "HANGUP":
            result = "1"
            told["ended"] = True
        else:
            raise AssertionError(command)
        channel.sendall(f"200 result={result}\n".encode())
    channel.close()


{"voicexml": voicexml, "twilio": twilio, "freeswitch": freeswitch, "connect": connect, "agi": agi}[PLATFORM]()
CLIPS = dict(clips())
passwords = [text for text in map(spelled, sounds) if text and len(text) >= 8]
told["password"] = passwords[-1] if passwords else None
told["left"] = keys
json.dump(told, sys.stdout)
