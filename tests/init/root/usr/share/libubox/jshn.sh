# shellcheck shell=dash
# Stands in for libubox's: JSON that is built call by call, one text for each namespace.

json_set_namespace() { # NEW [VARIABLE FOR THE OLD]
	[ -z "$2" ] || eval "$2=\$JSON_PREFIX"
	JSON_PREFIX=$1
}

_json_append() { # TEXT
	eval "${JSON_PREFIX}JSON=\${${JSON_PREFIX}JSON}\$1"
}

# What stands before the next value: a comma but for the first, and the name but in an array.
_json_before() { # NAME
	local comma within
	eval "comma=\$${JSON_PREFIX}COMMA within=\$${JSON_PREFIX}WITHIN"
	_json_append "$comma"
	eval "${JSON_PREFIX}COMMA=,"
	case $within in
	array*) ;;
	*) _json_append "\"$1\":" ;;
	esac
}

_json_open() { # NAME KIND BRACKET
	_json_before "$1"
	_json_append "$3"
	eval "${JSON_PREFIX}COMMA= ${JSON_PREFIX}WITHIN=\"$2 \$${JSON_PREFIX}WITHIN\""
}

_json_close() { # BRACKET
	_json_append "$1"
	eval "${JSON_PREFIX}COMMA=, ${JSON_PREFIX}WITHIN=\${${JSON_PREFIX}WITHIN#* }"
}

json_init() {
	eval "${JSON_PREFIX}JSON='{' ${JSON_PREFIX}COMMA= ${JSON_PREFIX}WITHIN='object '"
}

json_dump() {
	eval "printf '%s}\n' \"\$${JSON_PREFIX}JSON\""
}

json_add_object() { _json_open "$1" object '{'; }
json_close_object() { _json_close '}'; }
json_add_array() { _json_open "$1" array '['; }
json_close_array() { _json_close ']'; }

json_add_string() {
	_json_before "$1"
	_json_append "\"$2\""
}

json_add_int() {
	_json_before "$1"
	_json_append "$2"
}

json_add_boolean() {
	_json_before "$1"
	if [ "$2" = 1 ]; then _json_append true; else _json_append false; fi
}
