#!/usr/bin/env bash
# A real mail server (Exim) for tests: SMTP with STARTTLS and SMTPS, sign-in over TLS, all state under DIR. It takes mail for anybody but
# nobody@passline.test (550) and later@passline.test (451), and keeps each in a file of its own below DIR/mail.
#   smtp.sh packages | start DIR | stop DIR
# Prints KEY=VALUE lines. Starts in under 1 s. Needs root. The package is unpacked below DIR and not installed: it would become this machine's
# own mail server.
set -euo pipefail
packages="libnss-wrapper libidn12 libgnutls-dane0 libdb5.3 libnsl2 libpcre2-8-0 openssl python3 curl"
case "${1:-}" in
packages) echo "$packages"; exit 0 ;;
stop) pid=$(cat "$2/exim.pid"); kill "$pid" 2>/dev/null; while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done; exit 0 ;;
start) ;;
*) sed -n 2,7p "$0" >&2; exit 2 ;;
esac
dir=$(mkdir -p "$2" && cd "$2" && pwd); log=$dir/log
dpkg -s libnss-wrapper libidn12 libgnutls-dane0 curl >/dev/null 2>&1 || {
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >"$dir/apt.log" 2>&1; }
free_port() { python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])'; }
smtp=$(free_port) smtps=$(free_port); mkdir -p "$dir/package" "$dir/spool" "$dir/mail"
{
  (cd "$dir/package" && apt-get download -q exim4-daemon-light && dpkg -x exim4-daemon-light_*.deb .)
  openssl req -x509 -newkey rsa:2048 -nodes -days 30 -keyout "$dir/ca.key" -out "$dir/ca.pem" -subj "/CN=Passline test CA"
  openssl req -newkey rsa:2048 -nodes -keyout "$dir/key.pem" -out "$dir/csr" -subj "/CN=localhost"
  openssl x509 -req -in "$dir/csr" -CA "$dir/ca.pem" -CAkey "$dir/ca.key" -CAcreateserial -days 30 -out "$dir/cert.pem" \
    -extfile <(echo "subjectAltName=DNS:localhost,IP:127.0.0.1")
} >"$log" 2>&1
cat >"$dir/exim.conf" <<C
exim_user = nobody
exim_group = nogroup
exim_path = $dir/package/usr/sbin/exim4
deliver_drop_privilege = true
primary_hostname = localhost
spool_directory = $dir/spool
log_file_path = $dir/exim.%slog
pid_file_path = $dir/exim.pid
local_interfaces = 127.0.0.1
daemon_smtp_ports = $smtp : $smtps
tls_on_connect_ports = $smtps
tls_advertise_hosts = *
tls_certificate = $dir/cert.pem
tls_privatekey = $dir/key.pem
acl_smtp_rcpt = rcpt
acl_smtp_data = accept
keep_environment = LD_PRELOAD : NSS_WRAPPER_PASSWD : NSS_WRAPPER_GROUP
disable_ipv6 = true
rfc1413_hosts =

begin acl
rcpt:
  deny recipients = nobody@passline.test
  defer recipients = later@passline.test
  accept

begin routers
everybody:
  driver = accept
  transport = keep

begin transports
keep:
  driver = appendfile
  directory = $dir/mail
  maildir_format = true
  create_directory = true
  user = nobody
  group = nogroup
  envelope_to_add = true
  return_path_add = true

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = \${if and{{eq{\$auth2}{passline}}{eq{\$auth3}{Svc-Pass-123}}}}
  server_set_id = \$auth2
  server_advertise_condition = \${if def:tls_in_cipher}
C
chown -R nobody:nogroup "$dir/spool" "$dir/mail" "$dir/cert.pem" "$dir/key.pem"; chmod 755 "$dir"; chmod 600 "$dir/key.pem"
touch "$dir/exim.mainlog" "$dir/exim.paniclog" "$dir/exim.rejectlog"; chown nobody:nogroup "$dir"/exim.*log
# The program insists on the user that its package would have made.
{ cat /etc/passwd; echo "Debian-exim:x:65533:65533::/nonexistent:/usr/sbin/nologin"; } >"$dir/passwd"
{ cat /etc/group; echo "Debian-exim:x:65533:"; } >"$dir/group"
export LD_PRELOAD=libnss_wrapper.so NSS_WRAPPER_PASSWD=$dir/passwd NSS_WRAPPER_GROUP=$dir/group
"$dir/package/usr/sbin/exim4" -C "$dir/exim.conf" -bd >>"$log" 2>&1
unset LD_PRELOAD
for _ in $(seq 50); do [ -s "$dir/exim.pid" ] && (exec 3<>"/dev/tcp/127.0.0.1/$smtp") 2>/dev/null && break; sleep 0.1; done
cat <<K
HOST=localhost
PORT=$smtp
SMTPS_PORT=$smtps
CA=$dir/ca.pem
MAIL=$dir/mail/new
SERVICE=passline
SERVICE_PASSWORD=Svc-Pass-123
PID=$(cat "$dir/exim.pid")
K
