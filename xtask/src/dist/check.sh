# Installs and removes the Debian package as an operator does. xtask/src/dist/debian.rs runs this as
# root in a copy of the machine's files, with the package and the commands of the README in /tmp.
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 HOME=/tmp PATH=/usr/sbin:/usr/bin:/sbin:/bin
umask 022
cd /tmp

fail() {
    echo "the Debian package: $*" >&2
    [ ! -e daemon.log ] || tail -n 5 daemon.log >&2
    exit 1
}
set -E
trap 'fail "\`$BASH_COMMAND\` failed in line $LINENO of ${BASH_SOURCE[0]}"' ERR
expect() { # EXPECTED COMMAND...
    local expected=$1 got
    shift
    got=$("$@") || fail "\`$*\` failed: $got"
    [ "$got" = "$expected" ] || fail "\`$*\` printed \`$got\`, not \`$expected\`"
}
refuse() { ! "$@" >/dev/null 2>&1 || fail "\`$*\` should have failed"; }
owner() { stat --format '%a %U:%G' "$1"; }
package() { dpkg "$@" >dpkg.log 2>&1 || fail "$(cat dpkg.log)"; }
poll() { # COMMAND...
    for _ in $(seq 600); do
        if "$@" 2>/dev/null; then return; fi
        sleep 0.1
    done
    fail "\`$*\` did not succeed within a minute"
}

# The commands of the README, on a machine whose init does not run and whose ports may be in use.
sudo() { "$@"; }
apt() { apt-get --quiet --quiet --assume-yes "$@" >apt.log 2>&1 || fail "$(cat apt.log)"; }
systemctl() {
    [ "$*" = "enable --now keyward" ] || fail "unexpected: systemctl $*"
    if type -P systemctl >/dev/null; then command systemctl --quiet enable keyward; fi
    start
}
start() {
    local unit=/usr/lib/systemd/system/keyward.service user
    user=$(sed -n 's/^User=//p' $unit)
    setpriv --reuid "$user" --regid "$user" --init-groups $(sed -n 's/^ExecStart=//p' $unit) \
        --listen 127.0.0.1:0 --admin 127.0.0.1:0 >daemon.out 2>daemon.log &
    poll grep -q 'listening on http' daemon.out
}
curl() {
    local address
    address=$(sed -n 's|.*listening on http://\([0-9.:]*\).*|\1|p' daemon.out | head -n 1)
    command curl --silent --show-error "${@//localhost:8787/$address}"
}

. ./readme.sh >readme.out
grep -q '"id":"alice"' readme.out || fail "the README's token is not valid: $(cat readme.out)"
daemon=$!

version=$(dpkg-query --show --showformat '${Version}' keyward)
expect "keyward ${version%-*}" keyward --version
expect "" dpkg --verify keyward
expect "755 root:root" owner /usr/bin/keyward
expect "750 root:keyward" owner /etc/keyward
expect "640 root:keyward" owner /etc/keyward/keyward.toml
expect "700 keyward:keyward" owner /var/lib/keyward
for file in secret.key keyward.db audit.jsonl; do
    expect "600 keyward:keyward" owner "/var/lib/keyward/$file"
done
expect "/var/lib/keyward:/usr/sbin/nologin" sh -c 'getent passwd keyward | cut --delimiter : --fields 6-'
refuse runuser -u nobody -- cat /etc/keyward/keyward.toml
refuse runuser -u nobody -- ls /var/lib/keyward
dpkg --listfiles keyward | grep -v '^/etc/keyward' >listed
for file in usr/share/man/man1/keyward-serve.1.gz usr/share/bash-completion/completions/keyward \
    usr/share/zsh/vendor-completions/_keyward usr/share/fish/vendor_completions.d/keyward.fish \
    usr/share/doc/keyward/docs/serve.md usr/share/doc/keyward/examples/nginx/nginx.conf \
    usr/share/doc/keyward/copyright; do
    grep -qx "/$file" listed || fail "/$file is missing"
done
expect "" xargs --arg-file listed -I '{}' find '{}' -maxdepth 0 '(' ! -user root -o -perm /022 ')' ! -type l
expect " /etc/keyward/keyward.toml" sh -c "dpkg-query --show --showformat '\${Conffiles}' keyward | sed '/^$/d; s/ [0-9a-f]*$//'"
if type -P systemd-analyze >/dev/null; then
    expect "" sh -c 'systemd-analyze verify --man=no /usr/lib/systemd/system/keyward.service 2>&1'
fi


# A running daemon accepts a client as soon as the configuration has it.
keyward client admin >client.out
sed -n '/^\[clients/,$p' client.out >>/etc/keyward/keyward.toml
is_active() {
    curl --user "admin:$(sed -n 's/^kwc_/&/p' client.out)" --data-urlencode "token=$(cat token)" \
        http://localhost:8787/v1/introspect | grep -q '"active":true'
}
poll is_active
kill "$daemon"
wait "$daemon" || fail "the daemon failed"

# Another version keeps what the operator changed.
chmod 600 /etc/keyward/keyward.toml
chown keyward /etc/keyward/keyward.toml
expected=$(sha256sum /etc/keyward/keyward.toml)
package --install ./keyward_*.deb
expect "$expected" sha256sum /etc/keyward/keyward.toml
expect "600 keyward:keyward" owner /etc/keyward/keyward.toml

# Removed: the configuration stays. Purged: what the operator created stays, with its owner.
touch /etc/keyward/tls.pem
package --remove keyward
refuse test -e /usr/bin/keyward
expect "$expected" sha256sum /etc/keyward/keyward.toml
package --purge keyward
refuse test -e /etc/keyward/keyward.toml
for file in /etc/keyward/tls.pem /var/lib/keyward/secret.key /var/lib/keyward/keyward.db; do
    test -e "$file" || fail "$file was removed"
done
expect "600 keyward:keyward" owner /var/lib/keyward/secret.key

# Without the operator's files, nothing is left: the caller compares the files of the machine.
rm -r /etc/keyward /var/lib/keyward
package --install ./keyward_*.deb
package --purge keyward
refuse getent passwd keyward
refuse getent group keyward
echo "The Debian package was installed, used, removed and purged."
