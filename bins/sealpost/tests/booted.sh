#!/bin/bash
# Runs a program as the service of systemd/sealpost.service under a systemd of its own, and says what came of it. As root, on Linux with
# systemd, overlayfs and cgroup2:
#
#   bins/sealpost/tests/booted.sh target/release/sealpost
#
# systemd gets namespaces of its own and, as its root, an overlay whose changes lie in memory: nothing it does reaches this machine.
# That this is so is looked at before systemd is started: it empties /tmp where it boots.
set -eu
unit=$(dirname "$(realpath "$0")")/../systemd/sealpost.service

# Within the namespaces: leaves the old root, then becomes systemd.
boot() {
  local stage=$1 new=$1/root device
  mount --make-rprivate /
  mount -t tmpfs tmpfs "$stage"
  mkdir "$stage"/{upper,work,root}
  mount -t overlay overlay -o "lowerdir=/,upperdir=$stage/upper,workdir=$stage/work" "$new"
  mount -t proc proc "$new/proc"
  mount --bind "$new/proc/sys" "$new/proc/sys"
  mount -o remount,ro,bind "$new/proc/sys"
  mount -t sysfs -o ro sysfs "$new/sys"
  mount -t cgroup2 cgroup2 "$new/sys/fs/cgroup"
  mount -t tmpfs tmpfs "$new/run"
  mount -t tmpfs tmpfs "$new/tmp"
  mount -t tmpfs tmpfs "$new/dev"
  for device in 'null 1 3' 'zero 1 5' 'full 1 7' 'random 1 8' 'urandom 1 9' 'tty 5 0'; do
    # shellcheck disable=SC2086
    set -- $device
    mknod -m 666 "$new/dev/$1" c "$2" "$3"
  done
  mkdir "$new"/dev/{shm,pts} "$new/old"
  mount -t devpts -o newinstance,ptmxmode=0666 devpts "$new/dev/pts"
  ln -s pts/ptmx "$new/dev/ptmx"
  cp -r "$stage/../given" "$new/run/given"
  cd "$new"
  pivot_root . old
  umount -l /old
  rmdir /old
  [ "$(stat -f -c %T /) $(stat -f -c %T /tmp) $(find /tmp | wc -l)" = 'overlayfs tmpfs 1' ] || { echo "the machine's own files are still there"; exit 1; }

  python3 -c 'import fcntl, socket, struct; fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh14s", b"lo", 0x41, b""))'
  install -D -m 755 /run/given/sealpost /usr/local/bin/sealpost
  useradd --system --home-dir /var/lib/sealpost --shell /usr/sbin/nologin sealpost
  install -d -o sealpost -g sealpost -m 750 /etc/sealpost
  install -o sealpost -g sealpost -m 640 /run/given/{sealpost.toml,policy.toml,cert.pem,key.pem} /etc/sealpost
  # Nothing else is started.
  rm -rf /{etc,lib}/systemd/system/*.wants /{etc,lib}/systemd/system-generators
  install -m 644 /run/given/sealpost.service /run/given/only.target /etc/systemd/system
  : >/etc/machine-id
  exec env -i container=other PATH="$PATH" /lib/systemd/systemd --system --unit=only.target --log-target=journal --show-status=no
}

if [ "$1" = --boot ]; then boot "$2"; fi

program=$(realpath "$1")
folder=$(mktemp -d)
group=$(findmnt -n -o TARGET -t cgroup2 | head -n 1)/booted-$$
mkdir "$group" "$folder"/{stage,given}
end() {
  [ -z "${manager-}" ] || kill -KILL "$manager" 2>/dev/null || true
  for _ in $(seq 20); do
    sleep 0.2
    find "$group" -depth -type d -exec rmdir {} + 2>/dev/null && break
  done
  rm -rf "$folder"
}
trap end EXIT

cp "$program" "$folder/given/sealpost"
cp "$unit" "$folder/given/sealpost.service"
printf '[Unit]\nRequires=basic.target systemd-journald.socket\nWants=systemd-journald.service\nAfter=basic.target systemd-journald.service\n' >"$folder/given/only.target"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=relay.test -addext subjectAltName=DNS:relay.test \
  -keyout "$folder/given/key.pem" -out "$folder/given/cert.pem" 2>/dev/null
cat >"$folder/given/sealpost.toml" <<'SETTINGS'
hostname = "relay.test"
policy = "policy.toml"
[[listener]]
address = "127.0.0.1:25"
tls = "starttls"
[tls]
certificate = "cert.pem"
private_key = "key.pem"
[relay]
trusted_networks = ["127.0.0.0/8"]
[admin]
socket = "/run/sealpost/admin.sock"
[routes]
"*" = "127.0.0.1:9"
SETTINGS
: >"$folder/given/policy.toml"

(echo "$BASHPID" >"$group/cgroup.procs" && exec unshare --cgroup --pid --mount --uts --ipc --net --fork --kill-child "$(realpath "$0")" --boot "$folder/stage") &
launcher=$!
in_there() { nsenter -t "$manager" -a -- "$@"; }
show() { in_there systemctl show --value -p "$1" sealpost; }
for _ in $(seq 100); do
  sleep 0.2
  manager=$(pgrep -P "$launcher" || true)
  [ -n "$manager" ] && in_there systemctl is-active --quiet only.target 2>/dev/null && break
done

failed=0
check() {
  if [ "$2" = "$3" ]; then echo "passed: $1"; else echo "FAILED: $1: $2, and $3 is meant"; failed=1; fi
}
in_there systemctl start sealpost || in_there journalctl --no-pager -n 40
check 'it is ready, and says so' "$(show ActiveState) $(show Type)" 'active notify'
pid=$(show MainPID)
check 'it is nobody in particular' "$(in_there stat -c %U "/proc/$pid")" sealpost
check 'it has one capability' "$(in_there sed -n 's/^CapEff:\t//p' "/proc/$pid/status")" 0000000000000400
check 'system calls are filtered, and no new right can be had' "$(in_there sed -n 's/^\(Seccomp\|NoNewPrivs\):\t//p' "/proc/$pid/status" | xargs)" '1 2'
greeting=$(in_there python3 -c 'import smtplib; c = smtplib.SMTP("127.0.0.1", 25); c.starttls(); print(c.sendmail("a@a.example", "b@b.example", "Subject: x\r\n\r\nx\r\n"))' || true)
check 'it takes mail over TLS at port 25' "$greeting" '{}'
check 'it is managed at its socket' "$(in_there sealpost queue list --config /etc/sealpost/sealpost.toml --json | grep -c '"')" 1
check 'its data are its own' "$(in_there stat -c '%U %a' /var/lib/sealpost)" 'sealpost 700'
in_there systemctl reload sealpost && reloaded=yes
check 'it reads its files again' "${reloaded-no} $(show MainPID)" "yes $pid"
in_there kill -KILL "$pid"
for _ in $(seq 60); do
  sleep 0.5
  [ "$(show ActiveState)" = active ] && [ "$(show MainPID)" != "$pid" ] && break
done
check 'it is started again after a crash' "$(show ActiveState) $(show NRestarts)" 'active 1'
in_there systemctl stop sealpost
check 'it ends in order' "$(show ActiveState) $(show Result)" 'inactive success'
[ "$failed" = 0 ] || in_there journalctl --no-pager -u sealpost
exit "$failed"
