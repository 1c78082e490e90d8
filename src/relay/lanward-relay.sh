#!/bin/sh
# lanward-relay PORT: what the router may do on this relay besides forwarding, in the account's own rights. The authorized_keys line starts it for the router's
# key and names the port; the router asks for one of two things:
#   lanward-relay hold   remember this session, and stay until the router ends it
#   lanward-relay end    end what is left of earlier sessions for the port, so that the port is free again
# Each answer is one line: "lanward-relay 1 hold", "... hold unrecorded WHY", "... ended", "... nothing", "... refused WHY".
#
# A session is remembered by an empty file of the home directory, and all there is to know stands in its name: .lanward-relay.PORT.PID.START. So it is there
# at once or not at all, sessions do not get into each other's way, and a full disk has room for it.

set -u
umask 077
LC_ALL=C
PATH=/usr/bin:/bin:/usr/sbin:/sbin:/usr/local/bin${PATH:+:$PATH}
export LC_ALL PATH

answer() {
	printf 'lanward-relay 1 %s\n' "$*"
}

# The fields of /proc/PID/stat behind the program's name, which may have any character in it: state, parent, ... in $fields. Fails where there is no /proc.
look() { # PID
	fields=
	{ read -r fields <"/proc/$1/stat"; } 2>/dev/null || return 1
	fields=${fields##*') '}
}

# Whether a process of this number still does something, ours or not.
lives() { # PID
	if look "$1"; then
		case $fields in Z* | X*) return 1 ;; esac
	fi
	kill -0 "$1" 2>/dev/null || is_forbidden "$1"
}

# Whether it is there and belongs to somebody else.
is_forbidden() { # PID
	case $(kill -0 "$1" 2>&1) in
	*ermi*) true ;;
	*) false ;;
	esac
}

# What program it runs, in $name.
name() { # PID
	name=
	{ read -r name <"/proc/$1/comm"; } 2>/dev/null || name=$(ps -o comm= -p "$1" 2>/dev/null)
	name=${name##*/}
}

# Whether it is one of an SSH server's processes.
serves() { # PID
	name "$1"
	case $name in
	sshd | sshd-* | sshd:* | dropbear | dropbearmulti) true ;;
	*) false ;;
	esac
}

# When it began, in $start: tells it from another one that has got its number later, after a restart of the relay too. Nothing where nothing tells.
start() { # PID
	start=
	if look "$1"; then
		# shellcheck disable=SC2086 # words are wanted
		set -- $fields
		[ $# -ge 20 ] || return 0
		shift 19
		start=$1
		boot=
		{ read -r boot </proc/sys/kernel/random/boot_id; } 2>/dev/null
		start=$start-$boot
	else
		start=$(ps -o lstart= -p "$1" 2>/dev/null | tr -c 'A-Za-z0-9\n' '-')
	fi
}

# Whose child it is, in $parent.
parent() { # PID
	if look "$1"; then
		parent=${fields#* }
		parent=${parent%% *}
	else
		parent=$(ps -o ppid= -p "$1" 2>/dev/null | tr -cd '0-9')
	fi
}

# The server's process for this very session, in $session: the first one upwards, since the account's shell may stand between.
session() {
	session=$PPID
	for _ in 1 2 3 4; do
		case $session in '' | 0 | 1) break ;; esac
		serves "$session" && return 0
		parent "$session"
		session=$parent
	done
	session=
	return 1
}

# Whether a file's name stands for a process that lives and is the one of which it was written, in $pid.
remains() { # FILE
	pid=${1#"$records"}
	began=${pid#*.}
	pid=${pid%%.*}
	case $pid in '' | 0* | 1 | *[!0-9]* | ??????????*) return 1 ;; esac
	lives "$pid" && serves "$pid" || return 1
	start "$pid"
	[ "$start" = "$began" ]
}

# Removes what stands for processes that are gone.
tidy() {
	for file in "$records"*; do
		[ -f "$file" ] || [ -h "$file" ] || continue
		remains "$file" || rm -f "$file"
	done
}

hold() {
	why=
	tidy 2>/dev/null
	if ! session; then
		why='this was not started by an SSH server'
	else
		start "$session"
		# No file of another's making is written to.
		if ! (set -C && : >"$records$session.$start") 2>/dev/null && [ ! -f "$records$session.$start" ]; then
			why="no file can be made in the home directory"
		fi
	fi
	answer "hold${why:+ unrecorded $why}"
	exec cat >/dev/null
}

# Waits until a process is gone, for so many seconds.
goes() { # PID SECONDS
	left=$2
	while lives "$1"; do
		[ "$left" -gt 0 ] || return 1
		left=$((left - 1))
		sleep 1
	done
}

end() {
	ended=
	why=
	session
	for file in "$records"*; do
		[ -f "$file" ] || [ -h "$file" ] || continue
		if ! remains "$file"; then
			rm -f "$file"
			continue
		fi
		# Never this session, which is what the router has to ask through.
		case $pid in "$$" | "$PPID" | "$session") continue ;; esac
		if is_forbidden "$pid"; then
			why="process $pid ($name) is not this account's: it is not permitted to end it"
			continue
		fi
		kill -TERM "$pid" 2>/dev/null
		if ! goes "$pid" 3; then
			kill -KILL "$pid" 2>/dev/null
			if ! goes "$pid" 3; then
				why="process $pid ($name) does not end"
				continue
			fi
		fi
		rm -f "$file"
		ended=yes
	done
	if [ "$why" ]; then
		answer "refused $why"
	elif [ "$ended" ]; then
		answer ended
	else
		answer nothing
	fi
}

case ${1-} in
'' | 0* | *[!0-9]* | ??????*)
	answer 'refused authorized_keys has no port for it'
	exit 1
	;;
esac
if [ ! -d "${HOME-}/" ]; then
	answer 'refused the account has no home directory'
	exit 1
fi
records=$HOME/.lanward-relay.$1.
case ${SSH_ORIGINAL_COMMAND-} in
'lanward-relay hold') hold ;;
'lanward-relay end') end ;;
*)
	answer "refused only 'lanward-relay hold' and 'lanward-relay end' are answered here"
	exit 1
	;;
esac
