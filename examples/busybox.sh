#!/bin/sh
# Builds bedplate, makes a root filesystem from Debian's busybox-static, imports it and runs a process in it.
# Needs a Rust toolchain, no root, no daemon. Where there is no apt, the machine's own static busybox serves,
# and where there is none of that either, the static bedplate itself.
set -eu
cd "$(dirname "$0")/.."
cargo build --release --package bedplate
bedplate=$(ls -t target/*-linux-*/release/bedplate | head -n 1)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/rootfs/bin" "$work/rootfs/etc"

fetch() ( # Debian's package into $work/rootfs; fails where there is no apt or no archive to ask
	cd "$work"
	command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || exit 1
	apt-get -qq download busybox-static 2>/dev/null ||
		{ [ "$(id -u)" = 0 ] && apt-get -qq update && apt-get -qq download busybox-static 2>/dev/null; } || exit 1
	dpkg-deb --extract busybox-static_*.deb rootfs
	[ -e rootfs/bin/busybox ] || cp rootfs/usr/bin/busybox rootfs/bin/
)
if fetch || cp "$(command -v busybox)" "$work/rootfs/bin/" 2>/dev/null; then
	ln -s busybox "$work/rootfs/bin/sh"
	set -- sh -c 'echo "hello from $(busybox | head -n 1)"'
else
	cp "$bedplate" "$work/rootfs/bin/"
	set -- /bin/bedplate version
fi
echo 'root:x:0:0:root:/:/bin/sh' >"$work/rootfs/etc/passwd"

tar -C "$work/rootfs" -c . | "$bedplate" import --change 'CMD ["sh"]' - busybox
"$bedplate" run --rm busybox "$@"
