# shellcheck shell=dash disable=SC1091,SC2154 # rc.common sets name
# Stands in for procd's: builds the same messages to the bus object `service`, where the test answers as procd does.
# Between its functions the JSON is another namespace's, as there.

. "$IPKG_INSTROOT/usr/share/libubox/jshn.sh"

_procd() { # FUNCTION ARGUMENT...: in procd's namespace
	local outer
	json_set_namespace procd outer
	"$@"
	json_set_namespace "$outer"
}

_strings() {
	local word
	for word in "$@"; do
		json_add_string "" "$word"
	done
}

procd_open_service() { _procd _open_service "$@"; }
_open_service() {
	json_init
	json_add_string name "$1"
	json_add_string script "$2"
	json_add_object instances
}

procd_close_service() { _procd _close_service "$@"; }
_close_service() {
	json_close_object
	json_add_array triggers
	service_triggers
	json_close_array
	json_add_object data
	service_data
	json_close_object
	ubus call service "$1" "$(json_dump)"
}

procd_open_instance() { _procd _open_instance "$@"; }
_open_instance() {
	command=
	json_add_object "${1:-instance1}"
}

procd_close_instance() { _procd _close_instance; }
_close_instance() {
	json_add_array command
	# shellcheck disable=SC2086 # words are wanted
	_strings $command
	json_close_array
	json_close_object
}

procd_set_param() { _procd _set_param "$@"; }
_set_param() {
	local kind=$1
	shift
	case $kind in
	# Collected until the instance is closed, since more may be appended.
	command) command=$* ;;
	respawn | file)
		json_add_array "$kind"
		_strings "$@"
		json_close_array
		;;
	stdout | stderr) json_add_boolean "$kind" "$1" ;;
	term_timeout) json_add_int "$kind" "$1" ;;
	*) echo "no parameter $kind here" >&2 ;;
	esac
}

procd_append_param() {
	[ "$1" = command ] || echo "nothing but command can be appended to here" >&2
	shift
	command="$command $*"
}

data_outer=
procd_open_data() {
	json_set_namespace procd data_outer
	json_add_object data
}

procd_close_data() {
	json_close_object
	json_set_namespace "$data_outer"
}

procd_add_reload_trigger() { _procd _add_reload_trigger "$@"; }
_add_reload_trigger() {
	local package
	for package in "$@"; do
		json_add_array
		_strings config.change
		json_add_array
		_strings if
		json_add_array
		_strings eq package "$package"
		json_close_array
		json_add_array
		_strings run_script "/etc/init.d/$name" reload
		json_close_array
		json_close_array
		json_add_int "" 1000
		json_close_array
	done
}

procd_set_config_changed() {
	ubus call service event "{ \"type\": \"config.change\", \"data\": { \"package\": \"$1\" } }"
}

procd_kill() {
	ubus call service delete "{ \"name\": \"$1\" }"
}

procd_send_signal() {
	ubus call service signal "{ \"name\": \"$1\" }"
}
