#!/usr/bin/env bash
# A real OpenSSH server for tests, whose users live only in its own view of /etc: a mount namespace with an overlay, so
# that chpasswd, chage, faillock and passwd -l change nothing on this machine. Needs root.
#
#   sshd.sh packages | start DIR | stop DIR
#
# Prints KEY=VALUE lines. PORT takes passwords as such, PORT_INTERACTIVE only in a conversation with PAM, PORT_KEYS takes
# none. Service accounts, of which all have the key SERVICE_KEY: svc-passline may run the tools by sudo, svc-script only the
# script of contrib/, svc-poor nothing; svc-password may as svc-passline and has the password Start-Pass-1.
# People: nsenter --mount --target PID useradd ...
set -euo pipefail
packages="openssh-server openssh-client sudo util-linux python3 libpam-modules"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
case "${1:-}" in
packages) echo "$packages"; exit 0 ;;
stop) kill "$(cat "$2/keeper.pid")" 2>/dev/null || true; exit 0 ;;
inside) ;;
start) ;;
*) sed -n 2,11p "$0" >&2; exit 2 ;;
esac
dir=$(mkdir -p "$2" && cd "$2" && pwd)
free_port() { python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])'; }

if [ "$1" = start ]; then
  for tool in /usr/sbin/sshd /usr/bin/sudo /usr/sbin/faillock; do
    [ -x "$tool" ] || { echo "$tool is missing: apt-get install $packages" >&2; exit 1; }
  done
  mkdir -p "$dir"/{over,home} /run/sshd
  ports=("$(free_port)" "$(free_port)" "$(free_port)")
  ssh-keygen -q -t ed25519 -N '' -f "$dir/host_key"
  ssh-keygen -q -t rsa -b 2048 -N '' -f "$dir/host_key_rsa"
  ssh-keygen -q -t ed25519 -N '' -C svc-passline -f "$dir/svc_key"
  setsid unshare --mount --propagation private "$here/sshd.sh" inside "$dir" "${ports[@]}" >"$dir/log" 2>&1 </dev/null &
  for port in "${ports[@]}"; do
    for _ in $(seq 100); do (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.1; done
  done
  cat <<K
HOST=127.0.0.1
PORT=${ports[0]}
PORT_INTERACTIVE=${ports[1]}
PORT_KEYS=${ports[2]}
HOST_KEY=$(cut -d' ' -f1,2 "$dir/host_key.pub")
HOST_KEY_RSA=$(cut -d' ' -f1,2 "$dir/host_key_rsa.pub")
SERVICE_KEY=$dir/svc_key
PID=$(cat "$dir/keeper.pid")
K
  exit 0
fi

shift 2
echo $$ >"$dir/keeper.pid"
mount -t tmpfs tmpfs "$dir/over"
mkdir "$dir/over/up" "$dir/over/work"
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$dir/over/up,workdir=$dir/over/work" /etc
mkdir -p /var/run/faillock
mount -t tmpfs tmpfs /var/run/faillock
mount -t tmpfs tmpfs /usr/local/sbin
install -m 755 "$here/../../contrib/passline-account" /usr/local/sbin/

# Accounts lock after three failures. No delay after a failure: tests make many.
cat >/etc/pam.d/common-auth <<'P'
auth required pam_faillock.so preauth
auth [success=1 default=ignore] pam_unix.so nodelay
auth [default=die] pam_faillock.so authfail
auth sufficient pam_faillock.so authsucc
auth required pam_permit.so
P
printf 'deny = 3\nunlock_time = 600\n' >/etc/security/faillock.conf

chmod 755 "$dir" "$dir/home"
for user in svc-passline svc-script svc-poor svc-password; do
  useradd -m -r -d "$dir/home/$user" -s /bin/bash "$user"
  usermod -p '*' "$user"
  install -d -m 700 -o "$user" "$dir/home/$user/.ssh"
  install -m 600 -o "$user" "$dir/svc_key.pub" "$dir/home/$user/.ssh/authorized_keys"
done
printf 'svc-password:Start-Pass-1\n' | chpasswd
cat >/etc/sudoers.d/passline <<'S'
svc-passline,svc-password ALL=(root) NOPASSWD: /usr/sbin/chpasswd, /usr/bin/chage -d 0 *, /usr/bin/passwd -S *, /usr/bin/passwd -l *, /usr/bin/passwd -u *, /usr/sbin/faillock
svc-script ALL=(root) NOPASSWD: /usr/local/sbin/passline-account
S
chmod 440 /etc/sudoers.d/passline

pids=()
server() { # PORT OPTION...
  local port=$1 option; shift
  {
    printf 'Port %s\nListenAddress 127.0.0.1\nHostKey %s\nHostKey %s\nPidFile none\n' "$port" "$dir/host_key" "$dir/host_key_rsa"
    printf 'UsePAM yes\nStrictModes no\nMaxStartups 200\n'
    for option; do echo "$option"; done
  } >"$dir/sshd_config.$port"
  /usr/sbin/sshd -D -e -f "$dir/sshd_config.$port" &
  pids+=($!)
}
server "$1" "PasswordAuthentication yes" "KbdInteractiveAuthentication no"
server "$2" "PasswordAuthentication no" "KbdInteractiveAuthentication yes"
server "$3" "PasswordAuthentication no" "KbdInteractiveAuthentication no"
trap 'kill "${pids[@]}" 2>/dev/null' TERM EXIT
wait
