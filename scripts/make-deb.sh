#!/usr/bin/env bash
# Makes a Debian package of the program, its scripts, manual, completions and systemd unit:
#
#   make-deb.sh [DIRECTORY]        (default: the working directory)
#
# OXKEEPER_BIN names the program (default: ../target/release/oxkeeper). It needs dpkg-deb, and prints the package's
# path. DEBFULLNAME and DEBEMAIL say who answers for it. It is compressed by gzip, which takes seconds where xz takes minutes.
set -euo pipefail

HERE="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)"
CONF="$HERE/../conf"
OUT="${1:-$PWD}"
PROGRAM="${OXKEEPER_BIN:-$HERE/../target/release/oxkeeper}"

if [ ! -x "$PROGRAM" ]; then
    echo "There is no program $PROGRAM: build it with 'cargo build --release', or set OXKEEPER_BIN" >&2
    exit 1
fi
version="$("$PROGRAM" version | sed -E 's/^oxkeeper ([^,]+),.*/\1/')"
architecture="$(dpkg --print-architecture)"
root="$(mktemp -d)"
trap 'rm -rf "$root"' EXIT
# dpkg-deb takes the modes as they are.
umask 022
chmod 755 "$root"

install -D -m 755 "$PROGRAM" "$root/usr/bin/oxkeeper"
for script in "$HERE"/zk*.sh "$HERE"/follow-election.sh "$HERE"/ensemble.sh; do
    install -D -m 755 "$script" "$root/usr/share/oxkeeper/scripts/$(basename "$script")"
done
install -D -m 644 "$CONF/systemd/oxkeeper.service" "$root/lib/systemd/system/oxkeeper.service"
install -D -m 644 "$CONF/zoo_sample.cfg" "$root/etc/zookeeper/zoo.cfg"
install -D -m 644 "$CONF/logrotate/oxkeeper" "$root/usr/share/doc/oxkeeper/examples/logrotate"
for text in README.md COMPAT.md CHANGELOG.md MIGRATION.md; do
    install -D -m 644 "$HERE/../$text" "$root/usr/share/doc/oxkeeper/$text"
done
install -D -m 644 "$HERE/../LICENSE" "$root/usr/share/doc/oxkeeper/copyright"
install -d "$root/usr/share/man/man1" "$root/usr/share/bash-completion/completions" \
    "$root/usr/share/zsh/vendor-completions" "$root/usr/share/fish/vendor_completions.d"
"$PROGRAM" man | gzip -9n >"$root/usr/share/man/man1/oxkeeper.1.gz"
"$PROGRAM" completion bash >"$root/usr/share/bash-completion/completions/oxkeeper"
"$PROGRAM" completion zsh >"$root/usr/share/zsh/vendor-completions/_oxkeeper"
"$PROGRAM" completion fish >"$root/usr/share/fish/vendor_completions.d/oxkeeper.fish"
install -d "$root/DEBIAN"
# Whoever builds a package answers for it; Debian's tools know them by these two names.
maintainer="${DEBFULLNAME:-a local build} <${DEBEMAIL:-root@localhost}>"
maintainer="$(printf '%s' "$maintainer" | sed -e 's/[&|\\]/\\&/g')"
sed -e "s/@VERSION@/$version/" -e "s|@MAINTAINER@|$maintainer|" -e "s/@ARCHITECTURE@/$architecture/" "$CONF/debian/control" >"$root/DEBIAN/control"
echo /etc/zookeeper/zoo.cfg >"$root/DEBIAN/conffiles"
install -m 755 "$CONF/debian/postinst" "$CONF/debian/prerm" "$root/DEBIAN/"

mkdir -p "$OUT"
package="$OUT/oxkeeper_${version}_$architecture.deb"
dpkg-deb -Zgzip --root-owner-group --build "$root" "$package" >/dev/null
echo "$package"
