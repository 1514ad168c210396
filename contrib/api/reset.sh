#!/usr/bin/env bash
# Walks one caller through the web API of Passline: from the digits to the reset. Settings: see README.md beside this file.
#
# Arguments of programs are seen by everybody on the machine. So password, session and answers go to curl and jq by standard
# input and by files of the shell (<(...)), never as arguments.
set -euo pipefail
: "${PASSLINE_URL:?}" "${PASSLINE_CA:?}" "${PASSLINE_USER:?}" "${PASSLINE_PASSWORD_FILE:?}"

session=
answer=$(mktemp) # what the last call was answered with; only its owner can read it

# call NAME: sends the request on standard input, and leaves the answer in $answer. It is sent again as it is, with the same
# idempotency key, when the server has no time for it, or when its answer was lost.
call() {
  local name=$1 request status kind tries
  request=$(cat)
  for tries in {1..20}; do
    status=$(curl --silent --show-error --max-time 10 --cacert "$PASSLINE_CA" \
      --config <([ -z "$session" ] || printf 'header = "authorization: Bearer %s"\n' "$session") \
      --header 'content-type: application/json' --data-binary @- \
      --output "$answer" --write-out '%{http_code}' \
      "$PASSLINE_URL/api/v1/$name" <<<"$request") || status=000
    case $status in
      200) return 0 ;;
      000) kind=lost ;;
      # What kind of fault it is; titles and details are for people.
      *) kind=$(jq --raw-output '.type // ""' "$answer" 2>/dev/null || true) ;;
    esac
    case ${kind#urn:passline:problem:} in
      busy | unfinished | in-progress | too-many-requests | lost) sleep 1 ;;
      *) echo "$name: ${kind#urn:passline:problem:} ($status)" >&2; return 1 ;;
    esac
  done
  echo "$name does not come to an end" >&2
  return 1
}

# The session ends in any case: also when the caller hangs up, or something fails.
finish() {
  if [ -n "$session" ]; then call Logout <<<'{}' || true; fi
  rm -f "$answer"
}
trap finish EXIT

# A key for one request. Repetitions of this request have the same one.
key() { cat /proc/sys/kernel/random/uuid; }

# 1. A session for this caller. Give the caller's number too, if you have it: .caller = "+15550142".
jq --raw-input --null-input --arg user "$PASSLINE_USER" '{user: $user, password: input}' <"$PASSLINE_PASSWORD_FILE" | call Login
session=$(jq --raw-output .sessionId "$answer")

# 2. Who calls? There is always at least one entry; several mean that people share these digits: let the caller choose.
echo "Please key your number:"
IFS= read -r digits
jq --raw-input --arg key "$(key)" '{digits: ., idempotencyKey: $key}' <<<"$digits" | call UserIVRList
user=$(jq --raw-output '.users[0].user' "$answer")

# 3. Is it really them? All questions of the round are asked, then the answers are judged together.
while true; do
  jq --null-input --arg user "$user" '{user: $user}' | call UserQuestionsGet
  answers='[]'
  while IFS=$'\t' read -r -u 3 question text; do
    echo "$text"
    IFS= read -r digits
    # Two lines: what is there already, and the digits.
    answers=$(printf '%s\n%s\n' "$answers" "$digits" | jq --raw-input --null-input --compact-output \
      --arg question "$question" '(input | fromjson) as $before | $before + [{question: $question, digits: input}]')
  done 3< <(jq --raw-output '.questions[] | [.question, .text] | @tsv' "$answer")
  jq --arg key "$(key)" '{answers: ., idempotencyKey: $key}' <<<"$answers" | call UserAnswersValidate
  result=$(jq --raw-output .result "$answer")
  case $result in
    passed) break ;;
    retry) echo "That was not right. Once more:" ;; # the same questions
    *) echo "not verified: $result" >&2; exit 1 ;;  # failed, or locked
  esac
done

# 4. A password. "speak" says how to read it out, character by character; with "audio": "mulaw" it is there as sound. Ask again,
#    with another key, until one pleases the caller.
jq --null-input --arg key "$(key)" '{idempotencyKey: $key}' | call PasswordRandomGet
echo "The new password has $(jq '.speak | length' "$answer") characters."

# 5. The reset, on all accounts. The handle of the password is as secret as the password: it goes from file to file.
jq --arg key "$(key)" '{password: .password, idempotencyKey: $key}' "$answer" | call UserPasswordSync

# 6. What takes longer than two seconds goes on, and is asked for.
for _ in {1..240}; do
  [ "$(jq --raw-output .status "$answer")" = running ] || break
  sleep 0.5
  jq '{job: .job}' "$answer" | call JobGet
done
jq --raw-output '.accounts[] | "\(.system) \(.name): \(.outcome)"' "$answer"
[ "$(jq --raw-output .status "$answer")" = done ]
