'use strict';

/* A stand-in for what LuCI 24.10's luci.js, rpc.js and uci.js give a page: as much as the app calls, with the same results, the same traps
 * (a bare string is markup) and the same requests on the wire. ui.js and form.js beside it are loaded when a page asks for them. */

const OWN = '/luci-static/stand-in';
const RESOURCES = '/luci-static/resources';
const query = new URLSearchParams(location.search);

/* --- classes: X.extend(members), new X(...) runs __init__, this.super('name', args) the one it hides --- */

const owner = (object, name) => {
	while (object && !Object.prototype.hasOwnProperty.call(object, name))
		object = Object.getPrototypeOf(object);

	return object;
};

class Base {
	constructor(...args) {
		this.running = {};

		if (this.__init__)
			this.__init__(...args);
	}

	static extend(members) {
		const made = class extends this {};

		Object.defineProperties(made.prototype, Object.getOwnPropertyDescriptors(members));

		return made;
	}

	static singleton(members, ...args) { return new (this.extend(members))(...args) }
	static instantiate(args) { return new this(...args) }
	static isSubclass(other) { return typeof(other) == 'function' && (other === this || other.prototype instanceof this) }

	super(name, ...args) {
		const at = this.running[name];
		const next = owner(Object.getPrototypeOf(at || owner(this, name)), name);
		const list = args.length == 1 && (Array.isArray(args[0]) || String(args[0]) == '[object Arguments]') ? args[0] : args;

		if (!next)
			return null;

		this.running[name] = next;

		try { return next[name].apply(this, list) }
		finally { this.running[name] = at }
	}
}

/* --- text --- */

const escaped = text => String(text ?? '').replace(/[&"'<>]/g, found => '&#%d;'.format(found.charCodeAt(0)));
const duration = value => {
	const [ days, hours, minutes, seconds ] = [ Math.floor(value / 86400), Math.floor(value / 3600) % 24, Math.floor(value / 60) % 60, value % 60 ];

	return (days > 0 ? days + 'd ' : '') + hours + 'h ' + minutes + 'm ' + seconds + 's';
};
const metric = (value, base, digits) => {
	let step = 0;

	for (value = +value || 0; value > base && step < 6; step++)
		value /= base;

	return step ? value.toFixed(digits) + ' ' + ' KMGTPE'[step] + (base == 1024 ? 'i' : '') : value + ' ';
};

Object.defineProperty(String.prototype, 'format', { value(...args) {
	let at = 0;

	return this.replace(/%(0| )?(-)?(\d+)?(?:\.(\d+))?([%bcdufosxXqhtm])/g, (found, pad, left, width, digits, type) => {
		if (type == '%')
			return '%';
		if (at >= args.length)
			return 'undefined';

		const value = args[at++];
		const whole = Math.floor(+value || 0);

		if (type == 'm')
			return metric(value, width ? +width : 1000, digits ? +digits : 2);

		const text = String({
			b: () => whole.toString(2), c: () => String.fromCharCode(whole), d: () => whole.toFixed(0), u: () => (whole >>> 0).toFixed(0),
			f: () => digits == null ? +value || 0 : (+value || 0).toFixed(+digits), o: () => whole.toString(8), s: () => value,
			x: () => whole.toString(16), X: () => whole.toString(16).toUpperCase(), h: () => escaped(value), q: () => escaped(value),
			t: () => duration(value || 0)
		}[type]());

		return left ? text.padEnd(+width || 0) : text.padStart(+width || 0, pad || ' ');
	});
} });

/* The catalogue: message, or context, \u0004 and message, to its text or its forms. */
let catalogue = {};
const translated = (text, context, form) => {
	const key = String(text).trim().replace(/\s+/g, ' ');
	const found = catalogue[context ? context + '\u0004' + key : key];

	return Array.isArray(found) ? found[form] ?? found[0] : found;
};

window._ = (text, context) => translated(text, context, 0) ?? text;
/* Japanese has one form. */
window.N_ = (count, one, many, context) => translated(one, context, 0) ?? (count == 1 ? one : many);

/* A catalogue as gettext writes it. */
const readPo = text => {
	const found = {};

	for (const block of text.split(/\n\n+/)) {
		const entry = { msgid: '', msgstr: [] };
		let field = null;

		for (const line of block.split('\n')) {
			const [ , name, form, string ] = line.match(/^(?:(msgctxt|msgid_plural|msgid|msgstr)(?:\[(\d+)\])? )?(".*")$/) || [];

			if (string == null)
				continue;

			field = name ? [ name, +(form || 0) ] : field;

			const value = JSON.parse(string);

			if (field[0] == 'msgstr')
				entry.msgstr[field[1]] = (entry.msgstr[field[1]] || '') + value;
			else
				entry[field[0]] = (entry[field[0]] || '') + value;
		}

		if (entry.msgid != '')
			found[(entry.msgctxt ? entry.msgctxt + '\u0004' : '') + entry.msgid] = entry.msgid_plural ? entry.msgstr : entry.msgstr[0];
	}

	return found;
};

/* --- nodes --- */

const dom = {
	registry: new WeakMap(),

	elem(node) { return node != null && typeof(node) == 'object' && 'nodeType' in node },
	parse(text) { return new DOMParser().parseFromString(text, 'text/html').body.firstChild },
	matches(node, selector) { return this.elem(node) && node.matches ? node.matches(selector) : false },
	parent(node, selector) { return this.elem(node) && node.closest ? node.closest(selector) : null },

	append(node, children) {
		if (Array.isArray(children))
			children.forEach(child => child != null && node.appendChild(this.elem(child) ? child : document.createTextNode(String(child))));
		else if (typeof(children) == 'function')
			this.append(node, children(node));
		else if (this.elem(children))
			node.appendChild(children);
		else if (children != null)
			node.innerHTML = String(children);

		return node.lastChild;
	},

	content(node, children) {
		while (node.firstChild)
			node.removeChild(node.firstChild);

		return this.append(node, children);
	},

	attr(node, name, value) {
		for (const [ key, one ] of Object.entries(typeof(name) == 'string' ? { [name]: value } : name || {})) {
			if (one == null)
				continue;
			if (typeof(one) == 'function')
				node.addEventListener(key, one);
			else
				node.setAttribute(key, typeof(one) == 'object' ? JSON.stringify(one) : one);
		}
	},

	create(tag, attributes, children) {
		if (!(attributes instanceof Object) || Array.isArray(attributes) || this.elem(attributes) || typeof(attributes) == 'function')
			[ attributes, children ] = [ null, attributes ];

		let node = tag;

		if (Array.isArray(tag)) {
			node = document.createDocumentFragment();
			tag.forEach(one => node.appendChild(this.create(one)));
		}
		else if (!this.elem(tag)) {
			node = tag.startsWith('<') ? this.parse(tag) : document.createElement(tag);
		}

		this.attr(node, attributes);
		this.append(node, children);

		return node;
	},

	data(node, key, value) {
		if (!this.registry.has(node))
			this.registry.set(node, {});
		if (value !== undefined)
			this.registry.get(node)[key] = value;

		return this.registry.get(node)[key];
	},

	bindClassInstance(node, instance) { return this.data(node, '_class', instance) },

	findClassInstance(node) {
		for (; node; node = node.parentNode)
			if (this.registry.has(node) && this.registry.get(node)._class)
				return this.registry.get(node)._class;

		return null;
	},

	callClassMethod(node, method, ...args) {
		const instance = this.findClassInstance(node);

		return typeof(instance?.[method]) == 'function' ? instance[method](...args) : null;
	},

	isEmpty(node, ignore) {
		return ![ ...(node ? node.children : []) ].some(child => !child.classList.contains('hidden') && !(ignore && ignore(child)));
	}
};

window.E = (...args) => dom.create(...args);

/* --- polling: a tick a second; an entry runs when its interval divides the tick and it is not running --- */

const poll = {
	queue: [],
	timer: null,
	tick: null,

	add(fn, seconds) {
		if (this.queue.some(entry => entry.fn === fn))
			return false;

		this.queue.push({ fn, every: seconds > 0 ? Math.floor(seconds) : L.env.pollinterval, idle: true });

		if (this.tick != null && !this.active())
			this.start();

		return true;
	},

	remove(fn) {
		this.queue = this.queue.filter(entry => entry.fn !== fn);

		if (!this.queue.length && this.stop())
			this.tick = 0;
	},

	start() {
		if (this.active())
			return false;

		this.tick = 0;

		if (this.queue.length) {
			this.timer = setInterval(() => this.step(), 1000);
			this.step();
			document.dispatchEvent(new CustomEvent('poll-start'));
		}

		return true;
	},

	stop() {
		if (!this.active())
			return false;

		document.dispatchEvent(new CustomEvent('poll-stop'));
		clearInterval(this.timer);
		this.timer = this.tick = null;

		return true;
	},

	step() {
		for (const entry of this.queue) {
			if (this.tick % entry.every != 0 || !entry.idle)
				continue;

			entry.idle = false;
			Promise.resolve(entry.fn()).finally(() => { entry.idle = true });
		}

		this.tick++;
	},

	active() { return this.timer != null }
};

/* --- requests --- */

const request = {
	poll,

	async request(url, options) {
		const { method, query: fields, content, timeout } = Object.assign({ method: 'GET', timeout: 20000 }, options);
		const parameters = new URLSearchParams(fields || {});
		const get = method.toUpperCase() == 'GET';
		const target = get && fields ? url + (url.includes('?') ? '&' : '?') + parameters : url;
		const abort = new AbortController();
		const timer = timeout ? setTimeout(() => abort.abort(), timeout) : null;

		try {
			const answer = await fetch(target, {
				method: method.toUpperCase(),
				headers: typeof(content) == 'object' ? { 'Content-Type': 'application/json' } : {},
				body: get ? undefined : typeof(content) == 'object' ? JSON.stringify(content) : parameters,
				signal: abort.signal
			});
			const text = await answer.text();

			return { ok: answer.ok, status: answer.status, statusText: answer.statusText, url: answer.url, headers: answer.headers,
				responseText: text, text: () => text, json: () => JSON.parse(text) };
		}
		catch (error) {
			throw new Error(abort.signal.aborted ? 'XHR request timed out' : 'XHR request aborted by browser');
		}
		finally {
			clearTimeout(timer);
		}
	},

	get(url, options) { return this.request(url, Object.assign({ method: 'GET' }, options)) },
	post(url, content, options) { return this.request(url, Object.assign({ method: 'POST', content }, options)) }
};

/* --- calls over the bus: those of one tick go out as one batch --- */

const STATUS = [ 'Command OK', 'Invalid command', 'Invalid argument', 'Method not found', 'Resource not found', 'No data received', 'Permission denied',
	'Request timeout', 'Not supported', 'Unspecified error', 'Connection lost' ];
const kind = value => Object.prototype.toString.call(value);
/* With where it was thrown behind it, as LuCI's `raise` has it. */
const rpcError = message => Object.assign(new Error(`${message}\n  at call (rpc.js:1:1)`), { name: 'RPCError' });
let waiting = [];
let ids = 0;

const flush = () => {
	const batch = waiting;
	waiting = [];

	const send = messages => request.post('/ubus/', messages, { timeout: L.env.rpctimeout * 1000 });

	send(batch.length == 1 ? batch[0].message : batch.map(one => one.message)).then(answer => {
		if (!answer.ok)
			batch.forEach(one => one.reject(rpcError('RPC call to %s/%s failed with HTTP error %d: %s'.format(one.object, one.method, answer.status, answer.statusText || '?'))));

		const replies = [ answer.json() ].flat();

		batch.forEach((one, at) => one.resolve(replies.find(reply => reply && reply.id === one.message.id) || replies[at]));
	}).catch(error => batch.forEach(one => one.reject(error)));
};

const call = (object, method, params) => new Promise((resolve, reject) => {
	if (!waiting.length)
		queueMicrotask(flush);

	waiting.push({ object, method, resolve, reject,
		message: { jsonrpc: '2.0', id: ++ids, method: 'call', params: [ L.env.sessionid, object, method, params ] } });
});

const rpc = {
	declare(options) {
		const { object, method, expect, filter } = options;

		return async (...args) => {
			const params = {};
			const names = options.params || [];

			names.forEach((name, at) => { params[name] = args[at] });

			const reply = await call(object, method, params);

			if (reply == null || reply.jsonrpc != '2.0')
				throw rpcError('RPC call to %s/%s returned invalid message frame'.format(object, method));

			if (reply.error && reply.error.code) {
				if (reply.error.code == -32002 && object != 'session')
					await L.expired();

				throw rpcError('RPC call to %s/%s failed with error %d: %s'.format(object, method, reply.error.code, reply.error.message || '?'));
			}

			let result = null;

			if (Array.isArray(reply.result)) {
				if (options.reject && reply.result[0] !== 0)
					throw rpcError('RPC call to %s/%s failed with ubus code %d: %s'.format(object, method, reply.result[0], rpc.getStatusText(reply.result[0])));

				result = reply.result.length > 1 ? reply.result[1] : reply.result[0];
			}

			for (const key of Object.keys(expect || {}).slice(0, 1)) {
				result = key == '' || result == null ? result : result[key];

				if (result == null || kind(result) != kind(expect[key]))
					result = expect[key];
			}

			return typeof(filter) == 'function' ? filter.call(rpc, result, params, ...args.slice(names.length)) : result;
		};
	},

	getStatusText(code) { return _(STATUS[code] || 'Unknown error code') },
	getSessionID() { return L.env.sessionid }
};

/* --- configuration: what is loaded, and what of it is changed, until save() sends it --- */

const uciCall = (method, params, expect) => rpc.declare({ object: 'uci', method, params, expect, reject: true });
const uciCalls = {
	get: uciCall('get', [ 'config' ], { values: {} }),
	add: uciCall('add', [ 'config', 'type', 'name', 'values' ], { section: '' }),
	set: uciCall('set', [ 'config', 'section', 'values' ]),
	remove: uciCall('delete', [ 'config', 'section', 'options' ]),
	order: uciCall('order', [ 'config', 'sections' ])
};

const uci = {
	/* config: { old: as loaded, now: as it is to be, moved } */
	configs: {},
	made: 0,

	changes: rpc.declare({ object: 'uci', method: 'changes', expect: { changes: {} } }),

	async load(names) {
		const wanted = [ names ].flat().filter(name => !this.configs[name]);
		const found = await Promise.all(wanted.map(name => uciCalls.get(name)));

		wanted.forEach((name, at) => { this.configs[name] ??= { old: found[at], now: structuredClone(found[at]), moved: false } });
		document.dispatchEvent(new CustomEvent('uci-loaded'));

		return wanted;
	},

	unload(names) { [ names ].flat().forEach(name => delete this.configs[name]) },

	resolveSID(config, id) {
		const [ , type, at ] = String(id).match(/^@([\w-]+)\[(-?\d+)\]$/) || [];

		return type ? this.sections(config, type).at(+at)?.['.name'] ?? null : id;
	},

	sections(config, type, each) {
		const found = Object.values(this.configs[config]?.now || {}).filter(section => !type || section['.type'] == type);

		found.sort((a, b) => a['.index'] - b['.index']);

		const copies = found.map((section, at) => Object.assign({}, section, { '.index': at }));

		if (each)
			copies.forEach(section => each.call(this, section, section['.name']));

		return copies;
	},

	get(config, id, option) {
		const section = this.configs[config]?.now[this.resolveSID(config, id)];

		return section == null ? null : option == null ? section : section[option] ?? null;
	},

	get_first(config, type, option) { return this.get(config, this.sections(config, type)[0]?.['.name'], option) },
	get_bool(config, id, option) { return [ '1', 'on', 'true', 'yes', 'enabled' ].includes(String(this.get(config, id, option)).toLowerCase()) },

	set(config, id, option, value) {
		const section = this.get(config, id);

		if (section == null || option == null || option.startsWith('.'))
			return;

		if (value == null || value === '')
			delete section[option];
		else
			section[option] = value;
	},

	unset(config, id, option) { this.set(config, id, option, null) },

	add(config, type, name) {
		const id = name || 'new%06x'.format(++this.made);

		this.configs[config].now[id] = { '.type': type, '.name': id, '.anonymous': !name, '.index': 1000 + ++this.made, '.new': name || true };

		return id;
	},

	remove(config, id) { delete this.configs[config]?.now[id] },

	move(config, id, other, after) {
		const ids = this.sections(config).map(section => section['.name']).filter(name => name != id);

		ids.splice(other == null ? ids.length : ids.indexOf(other) + (after ? 1 : 0), 0, id);
		ids.forEach((name, at) => { this.configs[config].now[name]['.index'] = at });
		this.configs[config].moved = true;

		return true;
	},

	async save() {
		const touched = [];

		for (const [ config, { old, now, moved } ] of Object.entries(this.configs)) {
			const tasks = [];
			const added = [];
			const options = section => Object.keys(section).filter(name => !name.startsWith('.'));

			for (const id of Object.keys(old)) {
				if (!now[id]) {
					tasks.push(uciCalls.remove(config, id, undefined));
					continue;
				}

				const gone = options(old[id]).filter(name => now[id][name] == null);
				const set = Object.fromEntries(options(now[id]).filter(name => JSON.stringify(now[id][name]) != JSON.stringify(old[id][name]))
					.map(name => [ name, now[id][name] ]));

				if (gone.length)
					tasks.push(uciCalls.remove(config, id, gone));
				if (Object.keys(set).length)
					tasks.push(uciCalls.set(config, id, set));
			}

			for (const section of Object.values(now).filter(one => one['.new'])) {
				const name = section['.new'] === true ? undefined : section['.new'];

				added.push(uciCalls.add(config, section['.type'], name, Object.fromEntries(options(section).map(option => [ option, section[option] ])))
					.then(real => { section['.name'] = real }));
			}

			if (!tasks.length && !added.length && !moved)
				continue;

			await Promise.all([ ...tasks, ...added ]);

			if (moved)
				await uciCalls.order(config, this.sections(config).map(section => section['.name']));

			touched.push(config);
		}

		this.unload(touched);

		return this.load(touched);
	}
};

/* --- a page's base --- */

const View = Base.extend({
	__init__() {
		const place = document.getElementById('view');

		return Promise.resolve(this.load())
			.then(found => this.render(found))
			.then(nodes => {
				dom.content(place, nodes);
				dom.append(place, this.addFooter());
			}).catch(error => L.error(error));
	},

	load() {},
	render() {},

	maps() { return [ ...document.querySelectorAll('#maincontent .cbi-map') ] },
	handleSave() { return Promise.all(this.maps().map(map => dom.callClassMethod(map, 'save'))) },
	handleReset() { return Promise.all(this.maps().map(map => dom.callClassMethod(map, 'reset'))) },
	handleSaveApply(ev, mode) { return this.handleSave(ev).then(() => { L.ui.changes.apply(mode == '0') }) },

	addFooter() {
		const maps = this.maps().map(map => dom.findClassInstance(map)).filter(map => map);
		const disabled = (maps.length ? maps.every(map => map.readonly) : !L.hasViewPermission()) || null;
		const button = (name, label) => this[name] ? E('button', {
			'class': 'cbi-button cbi-button-%s'.format(name == 'handleSave' ? 'save' : 'reset'),
			'click': L.ui.createHandlerFn(this, name),
			'disabled': disabled
		}, [ label ]) : '';

		if (!this.handleSaveApply && !this.handleSave && !this.handleReset)
			return E([]);

		return E('div', { 'class': 'cbi-page-actions' }, [
			this.handleSaveApply ? new L.ui.ComboButton('0', { 0: _('Save & Apply'), 1: _('Apply unchecked') }, {
				classes: { 0: 'btn cbi-button cbi-button-apply important', 1: 'btn cbi-button cbi-button-negative important' },
				click: L.ui.createHandlerFn(this, 'handleSaveApply'),
				disabled: disabled
			}).render() : '', ' ',
			button('handleSave', _('Save')), ' ', button('handleReset', _('Reset'))
		]);
	}
});

/* --- L --- */

const classes = { baseclass: Base, view: View, dom, poll, request, rpc, uci };

window.L = {
	env: {
		sessionid: query.get('sid') || sessionStorage.getItem('sid') || '0'.repeat(32),
		scriptname: '/cgi-bin/luci', resource: RESOURCES, media: OWN, pollinterval: 5, rpctimeout: 20,
		apply_rollback: 90, apply_holdoff: 1, apply_display: 1.5,
		dispatchpath: location.pathname.split('/').slice(3)
	},
	Class: Base, dom, view: View, Poll: poll, Request: request, uci, rpc,

	bind(fn, self, ...args) { return fn.bind(self, ...args) },
	isObject(value) { return value != null && typeof(value) == 'object' },
	toArray(value) {
		return value == null ? [] : Array.isArray(value) ? value : typeof(value) == 'object' ? [ value ] : String(value).trim().split(/\s+/).filter(word => word);
	},
	naturalCompare: new Intl.Collator(undefined, { numeric: true }).compare,
	sortedKeys(object) { return Object.keys(object || {}).sort(this.naturalCompare) },
	resolveDefault(value, fallback) { return Promise.resolve(value).catch(() => fallback) },
	path(prefix, parts) { return prefix + parts.flat().map(part => part.startsWith('?') ? part : '/' + part).join('') || '/' },
	url(...parts) { return this.path(this.env.scriptname, parts) },
	resource(...parts) { return this.path(this.env.resource, parts) },
	media(...parts) { return this.path(this.env.media, parts) },
	hasViewPermission() { return this.mayWrite },

	raise(type, text, ...args) { throw type instanceof Error ? type : Object.assign(new Error((text || 'Unspecified error').format(...args)), { name: type }) },

	error(type, ...rest) {
		try {
			this.raise(type, ...rest);
		}
		catch (error) {
			if (!error.reported)
				this.ui.addNotification(error.name || 'Runtime error', E('pre', {}, [ error.message ]), 'danger');

			error.reported = true;
			throw error;
		}
	},

	/* The program of a class is the body of a function whose arguments are what its head requires. */
	require(name, from) {
		if (classes[name] != null)
			return Promise.resolve(classes[name]);

		const url = '%s/%s.js'.format([ 'ui', 'form' ].includes(name) ? OWN : RESOURCES, name.replace(/\./g, '/'));

		return classes[name] = request.get(url).then(async answer => {
			if (!answer.ok)
				this.raise('NetworkError', 'HTTP error %d while loading class file "%s"', answer.status, url);

			const needs = [];
			const head = /^(?:\s|\/\*[^]*?\*\/|\/\/.*\n)*(['"])(.*?)\1;?/;

			for (let rest = answer.text(), found; (found = head.exec(rest)); rest = rest.slice(found[0].length)) {
				const [ , need, as ] = found[2].match(/^require[ \t]+(\S+)(?:[ \t]+as[ \t]+([a-zA-Z_]\S*))?$/) || [];

				if (need)
					needs.push([ need, as || need.replace(/\W/g, '_') ]);
				else if (found[2] != 'use strict')
					break;
			}

			const got = await Promise.all(needs.map(([ need ]) => this.require(need)));
			const factory = new Function('window', 'document', 'L', ...needs.map(([ , as ]) => as), answer.text() + '\n//# sourceURL=' + url);
			const made = factory.call(factory, window, document, this, ...got);

			if (!Base.isSubclass(made))
				this.raise('TypeError', '"%s" factory yields invalid constructor', name);

			return classes[name] = new made();
		});
	},

	/* Denied: by the session's end, or because the session has no right to this one thing. */
	async expired() {
		const alive = await rpc.declare({ object: 'session', method: 'access', params: [ 'scope', 'object', 'function' ], expect: { access: true }, reject: true })(
			'uci', 'luci', 'read').then(() => true, () => false);

		if (alive)
			return;

		poll.stop();
		this.ui.showModal(_('Session expired'), [
			E('div', { 'class': 'alert-message warning' }, [ _('A new login is required since the authentication session expired.') ]),
			E('div', { 'class': 'right' }, [ E('div', { 'class': 'btn primary', 'click': () => location.reload() }, [ _('Log in…') ]) ])
		]);
	}
};

/* --- the page --- */

const dark = matchMedia('(prefers-color-scheme: dark)');
const darken = () => document.documentElement.setAttribute('data-darkmode', dark.matches);

dark.addEventListener('change', darken);
darken();

const menuOf = (tree, path) => Object.keys(tree).filter(key => key.startsWith(path + '/') && !key.slice(path.length + 1).includes('/') && tree[key].title)
	.sort((a, b) => tree[a].order - tree[b].order);

const start = async () => {
	const language = (query.get('lang') || sessionStorage.getItem('lang') || navigator.language).startsWith('ja') ? 'ja' : 'en';
	const [ app, page ] = L.env.dispatchpath.slice(2);
	const path = 'admin/services/' + app;
	const ready = new Promise(resolve => document.addEventListener('DOMContentLoaded', resolve));
	if (language == 'ja')
		catalogue = readPo(await request.get(OWN + '/ja.po').then(answer => answer.text()));

	const [ menu, ui, allowed ] = await Promise.all([
		request.get(OWN + '/menu.json').then(answer => answer.json()),
		ready.then(() => L.require('ui')),
		L.resolveDefault(rpc.declare({ object: 'session', method: 'access', params: [ 'scope', 'object', 'function' ], expect: { access: false } })(
			'access-group', 'luci-app-' + app, 'write'), false)
	]);
	const pages = menuOf(menu, path);
	const now = pages.find(key => key == path + '/' + page) || pages[0];

	L.mayWrite = allowed;
	document.documentElement.lang = language;
	document.title = 'OpenWrt - %s - LuCI'.format(_(menu[now].title));
	document.body.setAttribute('data-page', now.replace(/\//g, '-'));
	document.body.className = 'lang_' + language;

	const tabs = document.getElementById('tabmenu');

	tabs.style.display = '';
	tabs.appendChild(E('ul', { 'class': 'tabs' }, pages.map(key => E('li', {
		'class': 'tabmenu-item-%s %s'.format(key.split('/').pop(), key == now ? ' active' : '')
	}, [ E('a', { 'href': L.url(key) }, [ _(menu[key].title) ]) ]))));

	document.addEventListener('poll-start', () => ui.showIndicator('poll-status', _('Refreshing'), () => poll.active() ? poll.stop() : poll.start()));
	document.addEventListener('poll-stop', () => ui.showIndicator('poll-status', _('Paused'), null, 'inactive'));
	poll.start();
	document.dispatchEvent(new CustomEvent('luci-loaded'));
	ui.changes.init();
	await L.require('view.' + menu[now].action.path.replace(/\//g, '.')).catch(error => L.error(error));
};

start();
