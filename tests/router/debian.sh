# shellcheck shell=bash
# For sourcing: Debian's packages of another architecture, without touching this machine's apt or dpkg.

# Where this machine gets Debian from, and for which release the tests' guests are made.
suite=bookworm
mirror() {
	# shellcheck disable=SC2016 # the words are apt's
	{ apt-get indextargets --format '$(REPO_URI)' "Codename: $suite" 'Component: main' 2>/dev/null || true; } |
		{ grep -v security || true; } | sort -u | sed -n 1p
}

# An apt of its own in DIRECTORY for ARCHITECTURE; sets APT_CONFIG for what comes after.
own_apt() { # DIRECTORY ARCHITECTURE
	local directory architecture=$2 from
	directory=$(realpath -m "$1")
	from=$(mirror)
	mkdir -p "$directory"/{none,lists/partial,archives/partial}
	: >"$directory/status"
	for kind in deb deb-src; do
		echo "$kind [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${from:-http://deb.debian.org/debian} $suite main"
	done >"$directory/sources.list"
	cat >"$directory/conf" <<-END
		APT::Architecture "$architecture";
		APT::Architectures { "$architecture"; };
		APT::Install-Recommends "false";
		APT::Sandbox::User "root";
		Acquire::Languages "none";
		Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
		Dir::State "$directory";
		Dir::State::status "$directory/status";
		Dir::Cache "$directory";
		Dir::Etc::sourcelist "$directory/sources.list";
		Dir::Etc::sourceparts "$directory/none";
		Dir::Etc::preferencesparts "$directory/none";
		#clear DPkg::Post-Invoke;
		#clear APT::Update::Post-Invoke;
		#clear APT::Update::Post-Invoke-Success;
	END
	export APT_CONFIG=$directory/conf
	apt-get -qq update
}

# Unpacks a package for this machine, with what it needs that is not installed, into DIRECTORY.
own_program() { # DIRECTORY PACKAGE
	local directory=$1 package=$2 made
	[ ! -d "$directory" ] || return 0
	mkdir -p "${directory%/*}"
	made=$(mktemp -d "$directory.XXXXXX")
	(
		cd "$made"
		unset APT_CONFIG
		wanted() {
			apt-get install --print-uris --no-install-recommends -qq "$package" 2>/dev/null |
				sed -n "s/^'[^']*' \([^_]*\)_.*/\1/p" | grep . || echo "$package"
		}
		# The lists of packages may be missing or out of date.
		# shellcheck disable=SC2046 # words are wanted
		apt-get download -qq $(wanted) >log 2>&1 ||
			{ apt-get update -qq >/dev/null 2>&1; apt-get download -qq $(wanted) >log 2>&1; } ||
			{ echo "cannot download $package: $(tail -n 1 log)" >&2; exit 3; }
		for file in *.deb; do dpkg-deb -x "$file" .; done
		rm -f -- *.deb log
	) || { rm -rf "$made"; return 3; }
	chmod 755 "$made"
	mv -T "$made" "$directory" 2>/dev/null || rm -rf "$made"
}

# The files of DIRECTORY as the kernel unpacks them when it boots, to standard output.
archive() { # DIRECTORY CACHE
	own_program "$2/busybox" busybox-static || return
	local busybox
	busybox=$(find "$2/busybox" -name busybox -path '*bin/*')
	(cd "$1" && find . | "$busybox" cpio -o -H newc 2>/dev/null)
}
