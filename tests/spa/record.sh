#!/bin/bash
# Records packets of the stock client, with what the client itself says about them, for tests/spa_wire.rs. Nothing is sent.
# Needs Debian's fwknop-client, and gpg for one of them. The keys are made for the tests and kept.
set -eu
cd "$(dirname "$0")"
export HOME
HOME=$(mktemp -d)
trap 'rm -rf "$HOME"' EXIT

if [ ! -e base64.key ]; then
	fwknop --key-gen --no-rc-file | grep KEY_ >base64.key
	printf 'KEY: a-short-one\nHMAC_KEY: and-a-longer-one,for:the=HMAC,2345678901234567890\n' >words.key
fi

# record NAME KEYS ARGUMENTS...
record() {
	local name=$1 keys=$2
	shift 2
	{
		echo '[default]'
		sed 's/: / /' "$keys.key"
		echo 'USE_HMAC Y'
	} >"$HOME/rc"
	chmod 600 "$HOME/rc"
	{
		echo "# fwknop $*"
		echo "# keys $keys"
		# The dump comes twice: before the packet is "sent", and as it is read again.
		fwknop --rc-file "$HOME/rc" --no-save-args -D 192.0.2.1 --test -vv "$@" 2>&1 | sed "/^Generating SPA packet/,\$d; /^[a-z_]*() :/d; /GPG home dir:/d"
	} >"$name.packet"
	grep -q '^ *Final SPA Data: [^<]' "$name.packet" || {
		cat "$name.packet" >&2
		exit 1
	}
}

here=(-A tcp/22 -a 203.0.113.9 --spoof-user anna)
record access base64 "${here[@]}"
record words words "${here[@]}"
record source base64 -A tcp/22 -s --spoof-user 'Some User.42'
record ports base64 -A tcp/22,tcp/443,udp/53,tcp/65535 -a 198.51.100.255 --spoof-user a
record timeout base64 "${here[@]}" -f 77
for digest in sha1 sha384 sha512; do
	record "hmac-$digest" base64 "${here[@]}" --hmac-digest-type $digest
done
record words-sha512 words "${here[@]}" --hmac-digest-type sha512 -f 3600
for digest in md5 sha1 sha384 sha512; do
	record "inner-$digest" base64 "${here[@]}" -m $digest
done
record nat base64 "${here[@]}" -N 192.168.1.10:22
record nat-timeout base64 "${here[@]}" -N 192.168.1.10:22 -f 60
record nat-local base64 "${here[@]}" --nat-local
record nat-local-timeout base64 "${here[@]}" --nat-local -f 60
record command base64 -C 'touch /tmp/here' -a 203.0.113.9 --spoof-user anna
for mode in ctr ofb cfb ecb; do
	record "mode-$mode" base64 "${here[@]}" -M $mode
done
gpg --quiet --batch --passphrase '' --quick-generate-key lanward-test default default never
record gpg base64 "${here[@]}" --gpg-encryption --gpg-recipient-key lanward-test --gpg-signer-key lanward-test --gpg-no-signing-pw
