#!/usr/bin/env bash
# A real MariaDB server for tests: TLS, every statement in its log, accounts blocked after three wrong tries, all state under DIR.
#   mariadb.sh packages | start DIR | stop DIR
# Prints KEY=VALUE lines. Starts in about 2 s. As root it becomes `nobody`.
set -euo pipefail
packages="mariadb-server-core mariadb-client-core openssl python3"
case "${1:-}" in
packages) echo "$packages"; exit 0 ;;
stop) pid=$(cat "$2/pid"); kill "$pid" 2>/dev/null; while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done; exit 0 ;;
start) ;;
*) sed -n 2,4p "$0" >&2; exit 2 ;;
esac
dir=$(mkdir -p "$2" && cd "$2" && pwd); log=$dir/log; export PATH=$PATH:/usr/sbin
port=$(python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])')
{
  openssl req -x509 -newkey rsa:2048 -nodes -days 30 -keyout "$dir/ca.key" -out "$dir/ca.pem" -subj "/CN=Passline test CA"
  openssl req -newkey rsa:2048 -nodes -keyout "$dir/key.pem" -out "$dir/csr" -subj "/CN=localhost"
  openssl x509 -req -in "$dir/csr" -CA "$dir/ca.pem" -CAkey "$dir/ca.key" -CAcreateserial -days 30 -out "$dir/cert.pem" \
    -extfile <(echo "subjectAltName=DNS:localhost,IP:127.0.0.1")
} >"$log" 2>&1
as=()
if [ "$(id -u)" -eq 0 ]; then
  as=(setpriv --reuid=nobody --regid=nogroup --clear-groups)
  chown -R nobody "$dir"
fi
cd "$dir"
# Each system table is written through to the disk, which takes seconds there and nothing in memory.
new=$dir; if [ -w /dev/shm ]; then new=$(mktemp -d /dev/shm/passline-XXXXXX); chmod 711 "$new"; fi
mkdir -p "$new/data"; if [ "$(id -u)" -eq 0 ]; then chown nobody "$new/data"; fi
"${as[@]}" mariadb-install-db --no-defaults --datadir="$new/data" --auth-root-authentication-method=normal --skip-test-db \
  --skip-name-resolve --innodb-log-file-size=4M --innodb-data-file-path=ibdata1:4M:autoextend >>"$log" 2>&1
if [ "$new" != "$dir" ]; then cp -a "$new/data" "$dir/data"; rm -rf "$new"; fi
setsid "${as[@]}" mariadbd --no-defaults --datadir="$dir/data" --socket="$dir/socket" --pid-file="$dir/pid" \
  --bind-address=127.0.0.1 --port="$port" --skip-name-resolve --ssl-cert="$dir/cert.pem" --ssl-key="$dir/key.pem" \
  --general-log=1 --general-log-file="$dir/general.log" --slow-query-log=1 --slow-query-log-file="$dir/slow.log" \
  --long-query-time=0 --log-bin="$dir/binlog" --max-password-errors=3 --innodb-flush-method=nosync \
  --innodb-flush-log-at-trx-commit=0 --innodb-buffer-pool-size=16M --innodb-log-file-size=4M \
  --innodb-data-file-path=ibdata1:4M:autoextend >>"$dir/server.log" 2>&1 </dev/null &
for _ in $(seq 100); do mariadb --no-defaults -uroot -S "$dir/socket" -e "" 2>>"$log" && break; sleep 0.1; done
mariadb --no-defaults -uroot -S "$dir/socket" >>"$log" 2>&1 <<S
create user passline@'%' identified by 'Svc-Pass-123' require ssl;
grant create user on *.* to passline@'%';
grant select on mysql.* to passline@'%';
create user powerless@'%' identified by 'Svc-Pass-123';
grant select on mysql.* to powerless@'%';
create user blind@'%' identified by 'Svc-Pass-123';
grant create user on *.* to blind@'%';
S
cat <<K
HOST=localhost
PORT=$port
SOCKET=$dir/socket
CA=$dir/ca.pem
LOGS=$dir
SERVICE=passline
SERVICE_PASSWORD=Svc-Pass-123
PID=$(cat "$dir/pid")
K
