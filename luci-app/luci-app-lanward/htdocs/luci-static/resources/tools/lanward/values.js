'use strict';
'require baseclass';

/* What is a right value: the daemon's rules (src/config), so that a form refuses what the daemon would. Pure: nothing of the page is touched.
 * A check answers null, or words for what would be right. */

const digits = text => /^[0-9]+$/.test(text) ? Number(text) : null;
const within = (number, least, most) => number != null && number >= least && number <= most;
const isPort = text => within(digits(text), 1, 65535);

/* The text before and behind the first (or last) separator; null where there is none. */
function split(text, separator, last) {
	const at = last ? text.lastIndexOf(separator) : text.indexOf(separator);

	return at < 0 ? null : [ text.substring(0, at), text.substring(at + separator.length) ];
}

/* An IPv4 address as four bytes, or null. */
function ipv4(text) {
	const parts = text.split('.');

	return (parts.length == 4 && parts.every(part => /^(0|[1-9][0-9]{0,2})$/.test(part) && Number(part) < 256)) ? parts.map(Number) : null;
}

/* Groups of an IPv6 address as 16-bit numbers; an IPv4 address may stand at the end. */
function groups(text, mayEnd) {
	const found = [];

	if (text == '')
		return found;

	const parts = text.split(':');

	for (let i = 0; i < parts.length; i++) {
		const tail = (mayEnd && i == parts.length - 1) ? ipv4(parts[i]) : null;

		if (tail)
			found.push(tail[0] * 256 + tail[1], tail[2] * 256 + tail[3]);
		else if (/^[0-9a-fA-F]{1,4}$/.test(parts[i]))
			found.push(parseInt(parts[i], 16));
		else
			return null;
	}

	return found;
}

/* An IPv6 address as 16 bytes, or null. */
function ipv6(text) {
	const halves = text.split('::');
	const bytes = list => list.reduce((all, group) => all.concat([ group >> 8, group & 255 ]), []);

	if (halves.length == 1) {
		const all = groups(text, true);

		return (all && all.length == 8) ? bytes(all) : null;
	}

	if (halves.length != 2)
		return null;

	const head = groups(halves[0], false);
	const tail = groups(halves[1], true);

	if (!head || !tail || head.length + tail.length > 7)
		return null;

	return bytes(head.concat(Array(8 - head.length - tail.length).fill(0), tail));
}

/* Bytes of an address that the daemon takes: not an IPv4 address in IPv6's clothes. */
function address(text) {
	const bytes = ipv4(text) || ipv6(text);
	const mapped = bytes && bytes.length == 16 && bytes[10] == 255 && bytes[11] == 255 && bytes.slice(0, 10).every(byte => byte == 0);

	return mapped ? null : bytes;
}

/* An address that one host can have and a router forwards for. */
function isHostAddress(text) {
	const bytes = address(text);

	if (!bytes)
		return false;

	const [ a, b ] = bytes;

	if (bytes.length == 4)
		return !(within(a, 224, 239) || a == 127 || (a == 169 && b == 254) || bytes.every(byte => byte == 0) || bytes.every(byte => byte == 255));

	const almostZero = bytes.slice(0, 15).every(byte => byte == 0);

	return !(a == 255 || (a == 254 && (b & 192) == 128) || (almostZero && bytes[15] < 2));
}

/* True or false for what has a MAC's form, null for anything else. */
function isHostMac(text) {
	const parts = text.split(text.indexOf('-') >= 0 ? '-' : ':');

	if (parts.length != 6 || !parts.every(part => /^[0-9a-fA-F]{1,2}$/.test(part)))
		return null;

	const bytes = parts.map(part => parseInt(part, 16));

	return (bytes[0] & 1) == 0 && bytes.some(byte => byte != 0);
}

function isHost(text) {
	const mac = isHostMac(text);

	return mac == null ? isHostAddress(text) : mac;
}

function isSubnet(text) {
	const [ before, behind ] = split(text, '/') || [ text, null ];
	const bytes = address(before);

	if (!bytes || behind == null)
		return bytes != null;

	const prefix = digits(behind);

	if (!within(prefix, 1, bytes.length * 8))
		return false;

	return bytes.every((byte, at) => (byte & (255 >> Math.min(8, Math.max(0, prefix - at * 8)))) == 0);
}

/* HOST:PORT or [IPV6]:PORT; gives the host, or null. */
function hostOf(text) {
	const [ host, port ] = split(text, ':', true) || [ '', '' ];

	if (!isPort(port))
		return null;

	if (host.length > 1 && host.charAt(0) == '[' && host.slice(-1) == ']')
		return ipv6(host.slice(1, -1)) ? host.slice(1, -1) : null;

	return host.indexOf(':') < 0 ? host : null;
}

function isHostName(text) {
	if (ipv4(text) || ipv6(text))
		return true;

	const label = part => /^[a-zA-Z0-9_-]{1,63}$/.test(part) && part.charAt(0) != '-' && part.slice(-1) != '-';

	return text.length <= 253 && !/^[0-9.]*$/.test(text) && text.split('.').every(label);
}

/* { protocol, port } or null. */
function step(text) {
	const [ protocol, port ] = split(text, ':') || [ '', '' ];

	return ((protocol == 'tcp' || protocol == 'udp') && isPort(port)) ? { protocol: protocol, port: Number(port) } : null;
}

function isService(text) {
	const [ here, there ] = split(text, '>') || [ text, null ];
	const at = step(here);

	if (!at || at.protocol != 'tcp')
		return false;

	const host = there == null ? null : hostOf(there);

	return there == null || (host != null && isHostAddress(host));
}

function isMark(text) {
	const hex = /^0[xX]([0-9a-fA-F]+)$/.exec(text);
	const mark = hex ? parseInt(hex[1], 16) : digits(text);

	if (!within(mark, 1, 4294967295))
		return false;

	let bit = 1;

	while (bit < mark)
		bit *= 2;

	return bit == mark;
}

function isDuration(text, least, most) {
	const seconds = { s: 1, m: 60, h: 3600, d: 86400, w: 604800 }[text.slice(-1)];
	const number = digits(text.slice(0, -1));

	return seconds != null && number != null && within(number * seconds, least, most);
}

/* Minutes since midnight, or null. */
function clock(text) {
	const parts = /^([0-9]{1,2}):([0-9]{2})$/.exec(text);

	return (parts && Number(parts[2]) < 60) ? Number(parts[1]) * 60 + Number(parts[2]) : null;
}

const days = [ 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday' ];

function isWeekday(text) {
	const lower = text.toLowerCase();

	return /^[a-zA-Z]+$/.test(text) && days.some(day => day == lower || day.substring(0, 3) == lower);
}

function isPath(text) {
	return text.charAt(0) == '/' && text.length > 1 && new TextEncoder().encode(text).length < 256 && text.slice(-1) != '/' &&
		!/[\u0000-\u001f\u007f-\u009f]/.test(text) && text.split('/').indexOf('..') < 0;
}

/* How many strings follow the type in a public key. */
const keys = {
	'ssh-ed25519': 1,
	'ecdsa-sha2-nistp256': 2,
	'ecdsa-sha2-nistp384': 2,
	'ecdsa-sha2-nistp521': 2,
	'ssh-rsa': 2,
	'sk-ssh-ed25519@openssh.com': 2,
	'sk-ecdsa-sha2-nistp256@openssh.com': 3
};

/* As src/relay/key.rs: the type, and in base64 the type again and its strings, each behind its length in 32 bits. */
function isHostKey(text) {
	const [ type, key ] = text.split(' ');
	const bare = text => text.replace(/=+$/, '');
	const parts = [];
	let at = 0, blob;

	try {
		blob = atob(key);
	}
	catch (error) {
		return false;
	}

	while (at < blob.length) {
		const length = [ 0, 1, 2, 3 ].reduce((sum, byte) => sum * 256 + blob.charCodeAt(at + byte), 0);

		parts.push(blob.substr(at + 4, length));
		at += 4 + length;
	}

	return at == blob.length && key.length <= 4096 && bare(type + ' ' + btoa(blob)) == bare(text) && parts[0] == type &&
		parts.length == 1 + keys[type] && parts.indexOf('') < 0 && (type != 'ssh-ed25519' || parts[1].length == 32);
}

const yes = [ '1', 'on', 'true', 'yes', 'enabled' ];
const no = [ '0', 'off', 'false', 'no', 'disabled' ];

const named = (text, pattern) => pattern.test(text) && text.charAt(0) != '-';

/* By kind: is it right, and if not, what would be. */
const kinds = {
	'switch': [ text => yes.indexOf(text) >= 0 || no.indexOf(text) >= 0, () => _('Write 1 or 0.') ],
	choice: [ (text, spec) => spec.choices.some(choice => choice[0] == text), () => _('Choose one of the list.') ],
	number: [ (text, spec) => within(digits(text), spec.min, spec.max), spec => _('Write a whole number from %d to %d.').format(spec.min, spec.max) ],
	duration: [ (text, spec) => isDuration(text, spec.min, spec.max), () => _('Write a time from 10 minutes to 30 days with its unit (s, m, h, d, w), such as 1d.') ],
	clock: [ (text, spec) => within(clock(text), 0, spec.max), spec => _('Write a time of day as HH:MM, at the latest %s.').format(spec.max < 1440 ? '23:59' : '24:00') ],
	weekday: [ isWeekday, () => _('Write a day of the week, such as mon.') ],
	mark: [ isMark, () => _('Write a mark with exactly one bit, such as 0x10000000.') ],
	port: [ isPort, () => _('Write a port from 1 to 65535.') ],
	ports: [ text => {
		const [ from, to ] = split(text, '-') || [ text, text ];

		return isPort(from) && isPort(to) && Number(from) <= Number(to);
	}, () => _('Write a port, or a range with the smaller port first, such as 50000-60000.') ],
	profile: [ text => named(text, /^[a-z0-9-]{1,64}$/), () => _('Write the name of a profile: small letters, digits and hyphens.') ],
	host: [ isHost, () => _('Write the address of one host: IPv4, IPv6 or MAC, such as 192.168.1.20. Names, networks, multicast, loopback and link-local addresses do not work here.') ],
	address: [ isHostAddress, () => _('Write the IPv4 or IPv6 address of one host, such as 192.0.2.25. Names, networks, multicast, loopback and link-local addresses do not work here.') ],
	subnet: [ isSubnet, () => _('Write an address or a network without host bits, such as 203.0.113.0/24 or 2001:db8::/32.') ],
	zone: [ text => named(text, /^[a-zA-Z0-9_./-]{1,64}$/), () => _('Write the name of a firewall zone, such as lan.') ],
	gate: [ text => named(text, /^[a-zA-Z0-9_]{1,64}$/), () => _('Choose a gate.') ],
	service: [ isService, () => _('Write tcp:PORT, or tcp:PORT>ADDRESS:PORT for a host in the LAN, such as tcp:2222>192.168.1.10:22 or tcp:22>[2001:db8::10]:22.') ],
	step: [ text => step(text) != null, () => _('Write tcp:PORT or udp:PORT, such as tcp:7000.') ],
	path: [ isPath, () => _('Write the path of a file from the root, such as /etc/lanward/laptop.key.') ],
	hostname: [ isHostName, () => _('Write the name or the address of a server, such as relay.example.net.') ],
	target: [ text => {
		const host = hostOf(text);

		return host != null && isHostName(host);
	}, () => _('Write HOST:PORT, such as 192.168.1.20:3389 or [2001:db8::20]:3389.') ],
	user: [ text => named(text, /^[a-zA-Z0-9_.-]{1,32}$/), () => _('Write a login name: letters, digits, dots, hyphens and underscores.') ],
	hostkey: [ isHostKey, () => _('Write the type and the key as in known_hosts, such as ssh-ed25519 AAAA...') ]
};

/* Sorted ranges of ports, [ from, to ], that neither overlap nor touch. */
function joined(texts) {
	const ranges = texts.map(text => {
		const [ from, to ] = split(text, '-') || [ text, text ];

		return [ Number(from), Number(to) ];
	}).sort((a, b) => a[0] - b[0]);

	return ranges.reduce((all, range) => {
		const last = all[all.length - 1];

		if (last && range[0] <= last[1] + 1)
			last[1] = Math.max(last[1], range[1]);
		else
			all.push(range);

		return all;
	}, []);
}

const levels = { seed: '40001-65535', recommended: '32768-65535', strict: '1024-65535' };
const filled = value => value != null && value.length > 0;
const right = (kind, texts) => texts.every(text => kinds[kind][0](text));

/* What one option must be for another's sake. `get` answers what the section holds: a text, an array, or null. */
const across = {
	'lan_only.level': get => (!filled(get('level')) && filled(get('port'))) ?
		_('Ports are listed below, and only count with the level custom: choose it, or remove them.') : null,
	'lan_only.port': get => (get('level') == 'custom' && !filled(get('port'))) ? _('The level custom needs at least one port, such as 50000-60000.') : null,
	'lan_only.except_port': get => {
		const level = filled(get('level')) ? get('level') : (filled(get('host')) ? 'strict' : 'seed');
		const ports = level == 'custom' ? get('port') : [ levels[level] ];
		const without = get('except_port');

		if (!filled(ports) || !filled(without) || ports[0] == null || !right('ports', ports) || !right('ports', without))
			return null;

		const holes = joined(without);

		return joined(ports).every(range => holes.some(hole => hole[0] <= range[0] && hole[1] >= range[1])) ?
			_('That leaves no port to drop. Leave some, or switch off instead.') : null;
	},
	'lan_only.stop': get => {
		const [ start, stop ] = [ get('start'), get('stop') ];

		if (filled(get('weekdays')) || !(filled(start) || filled(stop)))
			return null;

		return clock(start || '0:00') % 1440 == clock(stop || '0:00') % 1440 ? _('It is the same as the start, which would be always. Let them differ, or leave both empty.') : null;
	},
	'knock.open': get => sequence(get('open')),
	'knock.close': get => sequence(get('close')) || ((filled(get('seconds')) && Number(get('seconds')) == 0 && !filled(get('close'))) ?
		_('With 0 seconds only this sequence closes the gate again: write one, such as tcp:9000.') :
		completes(get('open'), get('close')) ? _('It ends with the sequence that opens, and would open again: take other steps.') : null),
	'spa.max_seconds': get => {
		const [ least, most ] = [ get('seconds') || '30', get('max_seconds') || '3600' ];

		return Number(least) > Number(most) ? _('It must not be less than the seconds without asking (%d).').format(Number(least)) : null;
	},
	'relay.retry_max': get => {
		const [ least, most ] = [ get('retry') || '10', get('retry_max') || '300' ];

		return Number(least) > Number(most) ? _('It must not be less than the wait before the first reconnect (%d).').format(Number(least)) : null;
	}
};

/* Whether these packets end by being the whole sequence: a step that is due, one that was taken, a wrong one. */
function completes(texts, packets) {
	const words = texts => (texts || []).map(step).map(one => one ? one.protocol + one.port : '');
	const steps = words(texts);
	let stage = 0;

	words(packets).forEach(packet => {
		stage %= steps.length || 1;
		stage = steps[stage] == packet ? stage + 1 : steps.slice(0, stage).includes(packet) ? stage : 0;
	});

	return steps.length > 0 && stage == steps.length;
}

function sequence(texts) {
	const steps = (texts || []).map(step);

	if (steps.length > 16)
		return _('At most 16 steps.');

	return steps.some((one, at) => at > 0 && one && steps[at - 1] && one.protocol == steps[at - 1].protocol && one.port == steps[at - 1].port) ?
		_('The same step twice in a row cannot be told from a packet sent again: put another one between.') : null;
}

return baseclass.extend({
	/* Null, or what would be right. `text` is one value, or one of a list. */
	check(spec, text) {
		const kind = kinds[spec.kind];

		return kind[0](text, spec) ? null : kind[1](spec);
	},

	/* What is wrong with an option as a whole, each of its values being right: it is missing, too long, or does not fit the others. */
	whole(spec, get) {
		const value = get(spec.name);
		const rule = across[spec.type + '.' + spec.name];

		if (spec.required && !filled(value))
			return spec.many ? _('At least one is needed.') + ' ' + kinds[spec.kind][1](spec) : kinds[spec.kind][1](spec);

		if (spec.many && filled(value) && value.length > 1024)
			return _('At most 1024.');

		return rule ? rule(get) : null;
	},

	/* Null, or what is wrong with a new section's name. `sections`: all that there are, [ { name, type } ]. */
	name(type, text, sections) {
		if (!/^[a-zA-Z0-9_]+$/.test(text))
			return _('Write a name: letters, digits and underscores.');

		if (text.length > 32)
			return _('At most 32 letters.');

		if ([ 'lanward', 'lan_only', 'ledger' ].indexOf(text) >= 0)
			return _('That is the name of a section of its own: choose another.');

		if (sections.some(section => section.name == text))
			return _('That name is taken: choose another.');

		return sections.filter(section => section.type == type).length >= 64 ? _('There can be at most 64.') : null;
	},

	/* What the file holds as the form has it: a list as an array of words, nothing twice if that means nothing, days in the week's order; a switch
	 * as '1' or '0'; anything else as one text. What is wrong stays as it is. */
	shape(spec, raw) {
		const texts = raw == null ? [] : (Array.isArray(raw) ? raw : [ raw ]).map(String);

		if (spec.many) {
			let words = texts.reduce((all, text) => all.concat(text.split(/[ \t\n\f\r]+/).filter(word => word != '')), []);

			if (spec.kind == 'weekday') {
				const place = word => days.findIndex(day => day.substring(0, 3) == word);

				words = words.map(word => isWeekday(word) ? word.toLowerCase().substring(0, 3) : word)
					.sort((a, b) => (place(a) + 8) % 8 - (place(b) + 8) % 8);
			}

			if (!spec.ordered)
				words = words.filter((word, at) => words.indexOf(word) == at);

			return words.length ? words : null;
		}

		const text = texts.join(' ');

		if (text == '')
			return null;

		if (spec.kind != 'switch')
			return text;

		return yes.indexOf(text) >= 0 ? '1' : (no.indexOf(text) >= 0 ? '0' : text);
	}
});
