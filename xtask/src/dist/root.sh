# Runs check.sh, which is in the current folder, where every change to a file is kept in memory. The
# caller is root with mounts and processes of its own, which end with this script.
mkdir root
mount -t tmpfs -o mode=755 keyward root
mkdir root/changes root/work root/files
mount -t overlay -o "lowerdir=/,upperdir=$PWD/root/changes,workdir=$PWD/root/work" keyward root/files
mount --rbind /dev root/files/dev
mount -t proc proc root/files/proc
# Without the host's /run there is no systemd that a package could talk to.
mount -t tmpfs keyward root/files/run
mount -t tmpfs keyward root/files/tmp
cp ./*.sh ./*.deb root/files/tmp
chroot root/files bash -euo pipefail /tmp/check.sh

# A package may leave caches, logs, and the state of the package manager and of useradd.
cd root/changes
left=$(find . -mindepth 1 '(' -path ./var/cache -o -path ./var/log -o -path ./var/lib/apt -o -path ./var/lib/dpkg ')' -prune \
    -o ! '(' -regex './etc/[a-z]*-' -o -path ./etc/.pwd.lock -o -path './var/lib/systemd*' -type d ')' -print |
    while read -r path; do
        if [ ! -e "/$path" ] && [ ! -L "/$path" ]; then echo "$path"; fi
    done)
[ -z "$left" ] || { printf 'the Debian package left these files:\n%s\n' "$left" >&2; exit 1; }
