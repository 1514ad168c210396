#!/usr/bin/env bash
# A real PostgreSQL server for tests: TLS, SCRAM, every statement in its log, all state under DIR.
#   postgresql.sh packages | start DIR | stop DIR
# Prints KEY=VALUE lines. Starts in about 1 s. As root it becomes `postgres`, because the server refuses root.
set -euo pipefail
packages="postgresql openssl python3"
case "${1:-}" in
packages) echo "$packages"; exit 0 ;;
stop) pid=$(head -1 "$2/data/postmaster.pid"); kill -INT "$pid" 2>/dev/null; while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done; exit 0 ;;
start) ;;
*) sed -n 2,4p "$0" >&2; exit 2 ;;
esac
dir=$(mkdir -p "$2" && cd "$2" && pwd); log=$dir/log
bin=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -1); export PATH=$bin:$PATH
port=$(python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])')
{
  openssl req -x509 -newkey rsa:2048 -nodes -days 30 -keyout "$dir/ca.key" -out "$dir/ca.pem" -subj "/CN=Passline test CA"
  openssl req -newkey rsa:2048 -nodes -keyout "$dir/key.pem" -out "$dir/csr" -subj "/CN=localhost"
  openssl x509 -req -in "$dir/csr" -CA "$dir/ca.pem" -CAkey "$dir/ca.key" -CAcreateserial -days 30 -out "$dir/cert.pem" \
    -extfile <(echo "subjectAltName=DNS:localhost,IP:127.0.0.1")
} >"$log" 2>&1
echo Adm1n-Pass-word >"$dir/password"
as=()
if [ "$(id -u)" -eq 0 ]; then
  as=(setpriv --reuid=postgres --regid=postgres --clear-groups)
  chown -R postgres "$dir"
fi
cd "$dir"
"${as[@]}" initdb -D "$dir/data" -U postgres --auth=scram-sha-256 --pwfile="$dir/password" --no-sync --locale=C.UTF-8 >>"$log" 2>&1
cat >>"$dir/data/postgresql.conf" <<C
listen_addresses = '127.0.0.1'
port = $port
unix_socket_directories = '$dir'
ssl = on
ssl_cert_file = '$dir/cert.pem'
ssl_key_file = '$dir/key.pem'
fsync = off
max_connections = 300
log_statement = all
log_destination = stderr
C
# `trusting` is a database in which nobody is asked for a password.
cat >"$dir/data/pg_hba.conf" <<H
local   all      postgres              trust
local   all      all                   scram-sha-256
hostssl trusting all      127.0.0.1/32 trust
host    all      all      127.0.0.1/32 scram-sha-256
H
setsid "${as[@]}" postgres -D "$dir/data" >>"$dir/server.log" 2>&1 </dev/null &
for _ in $(seq 100); do psql -qh "$dir" -p "$port" -U postgres -c "" >/dev/null 2>>"$log" && break; sleep 0.1; done
psql -qXh "$dir" -p "$port" -U postgres -v ON_ERROR_STOP=1 >>"$log" 2>&1 <<S
create role passline login createrole password 'Svc-Pass-123';
create role powerless login password 'Svc-Pass-123';
create role people nologin;
create database trusting;
S
cat <<K
HOST=localhost
PORT=$port
SOCKET=$dir
CA=$dir/ca.pem
LOG=$dir/server.log
SERVICE=passline
SERVICE_PASSWORD=Svc-Pass-123
ADMIN_PASSWORD=Adm1n-Pass-word
PID=$(head -1 "$dir/data/postmaster.pid")
K
