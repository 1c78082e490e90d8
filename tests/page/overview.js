'use strict';

/* The page in a stand-in of LuCI's framework: what is shown in each state, what is called, what a session that only reads
 * may do, and that nothing from outside becomes markup. Arguments: the directory `resources`. */

const assert = require('assert');
const fs = require('fs');
const path = require('path');
const resources = process.argv[2];

/* --- as much of a browser as the page uses --- */

class Text {
	constructor(text) { this.data = text; }
	get textContent() { return this.data; }
	contains(other) { return other === this; }
}

class Element {
	constructor(tag) {
		Object.assign(this, { tag, childNodes: [], attributes: {}, listeners: {}, style: {}, parent: null, disabled: false, value: '' });
		const classes = this.classes = new Set();
		this.classList = { toggle: (name, on) => { on ? classes.add(name) : classes.delete(name); } };
	}
	get children() { return this.childNodes.filter(child => child instanceof Element); }
	get textContent() { return this.childNodes.map(child => child.textContent).join(''); }
	set textContent(text) {
		document.changes++;
		this.childNodes = text === '' ? [] : [ new Text(String(text)) ];
	}
	setAttribute(name, value) {
		this.attributes[name] = String(value);
		if (name == 'disabled') this.disabled = true;
	}
	getAttribute(name) { return name in this.attributes ? this.attributes[name] : null; }
	removeAttribute(name) { delete this.attributes[name]; }
	addEventListener(name, listener) { this.listeners[name] = listener; }
	insertBefore(node, next) {
		document.changes++;
		if (node.parent) node.remove();
		const at = next ? this.childNodes.indexOf(next) : this.childNodes.length;
		this.childNodes.splice(at, 0, node);
		node.parent = this;
		return node;
	}
	appendChild(node) { return this.insertBefore(node, null); }
	remove() {
		document.changes++;
		this.parent.childNodes.splice(this.parent.childNodes.indexOf(this), 1);
		this.parent = null;
	}
	contains(other) { return other === this || this.childNodes.some(child => child.contains(other)); }
	focus() { document.activeElement = this; }
	find(matches) {
		if (matches(this)) return this;
		for (const child of this.children) {
			const found = child.find(matches);
			if (found) return found;
		}
		return null;
	}
	shown() { return this.style.display != 'none' && (!this.parent || this.parent.shown()); }
	fire(name) { return this.listeners[name]({ currentTarget: this, preventDefault() {} }); }
}

global.document = { activeElement: null, changes: 0, documentElement: { lang: 'en' } };

const format = (text, values) => text.replace(/%(?:1024\.1mB|[dsth])/g, place => {
	assert(values.length, `too few values: ${text}`);
	const value = values.shift();
	if (place == '%d') assert.strictEqual(typeof(value), 'number', `${text}: ${value}`);
	return String(value);
});
Object.defineProperty(String.prototype, 'format', { value(...values) {
	const text = format(String(this), values);
	assert.strictEqual(values.length, 0, `too many values: ${this}`);
	return text;
} });

const dom = {
	content(node, children) {
		/* LuCI would make markup out of anything else. */
		assert(Array.isArray(children), `children must be an array: ${children}`);
		document.changes++;
		node.childNodes = [];
		for (const child of children) {
			if (child instanceof Element) {
				child.parent = node;
				node.childNodes.push(child);
			}
			else if (child != null) {
				node.childNodes.push(new Text(String(child)));
			}
		}
	}
};
global.E = (tag, attributes, children) => {
	assert(/^[a-z0-9]+$/.test(tag) && attributes && !Array.isArray(attributes));
	const node = new Element(tag);
	for (const [ name, value ] of Object.entries(attributes)) {
		if (typeof(value) == 'function') node.addEventListener(name, value);
		else if (value != null) node.setAttribute(name, value);
	}
	if (children !== undefined) dom.content(node, children);
	return node;
};
global._ = text => text;
global.N_ = (count, one, many) => count == 1 ? one : many;

/* --- as much of LuCI --- */

const baseclass = { extend: members => members };
let answers, asked;
const rpc = { declare: options => (...args) => {
	assert.strictEqual(options.reject, true);
	if (options.object == 'file')
		return Promise.resolve(fs.readFileSync(path.join(resources, '../../../../../files', args[0]), 'utf8'));
	if (options.object == 'luci-rpc')
		return Promise.resolve({ '02:00:5E:10:00:20': { name: 'study-pc', ipaddrs: [ '192.168.1.20' ] } });
	assert.strictEqual(options.object, 'lanward');
	if (options.method != 'preview')
		asked.push([ options.method, ...args ]);
	const answer = answers[options.method];
	if (answer instanceof Promise)
		return answer;
	return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(JSON.parse(JSON.stringify(answer)));
} };
let polled;
const poll = { add: (fn, seconds) => polled.push([ fn, seconds ]) };
let mayWrite = true;
class Map_ {
	section() { return { option: () => ({}) }; }
	render() { return Promise.resolve(E('div', {}, [])); }
}
const form = { Map: Map_ };
const L = { resource: name => name, url: (...parts) => parts.join('/'), bind: (fn, self) => fn.bind(self), hasViewPermission: () => mayWrite };

const load = (file, names, values) =>
	new Function('window', 'document', 'L', ...names, fs.readFileSync(path.join(resources, file), 'utf8'))(global, document, L, ...values);
const lanward = load('tools/lanward.js', [ 'baseclass', 'rpc', 'dom' ], [ baseclass, rpc, dom ]);
const applications = load('tools/lanward/applications.js', [ 'baseclass', 'lanward' ], [ baseclass, lanward ]);
const scope = load('tools/lanward/scope.js', [ 'baseclass', 'form', 'lanward' ], [ baseclass, form, lanward ]);
const fresh = () => load('view/lanward/overview.js', [ 'view', 'poll', 'dom', 'lanward', 'applications', 'scope' ], [ baseclass, poll, dom, lanward, applications, scope ]);

/* --- the cases --- */

const mode = more => Object.assign({ enabled: true, observe: false, enforced: true, paused_seconds: 0, level: 'strict', ports: [ '1024-65535' ], hosts: [],
	source_devices: [ 'br-lan' ], dest_devices: [ 'wan' ], dropped_packets: 7, dropped_bytes: 900, inbound_dropped_packets: 2, flows_cut: 3 }, more);
const gate = more => Object.assign({ name: 'ssh', enabled: true, shut: false, services: [ 'tcp:22' ], witnesses: [ 'imaps' ], window: 60, entries: 0,
	size: 4096, admitted: 0, refused: 0, overflow: 0 }, more);
const status = (more, lan_only, gates) => Object.assign({ version: '1', uptime: 5, applied: true, problems: [], warnings: [], lan_only: mode(lan_only), gates: gates || [] }, more);

async function open(replies, write) {
	answers = Object.assign({ preview: new Error('RPC call to lanward/preview failed with ubus code 3: Method not found') }, replies);
	asked = [];
	polled = [];
	mayWrite = write !== false;
	document.activeElement = null;
	const view = fresh();
	const page = await view.render(await view.load());
	return { view, page, parts: view.parts, says: () => view.parts.state.textContent };
}

const cases = {
	async 'each state has its words'() {
		const states = [
			[ {}, {}, 'On', 'true' ],
			[ {}, { enabled: false, enforced: false }, 'Off', 'false' ],
			[ {}, { enforced: false, paused_seconds: 90 }, 'Paused', 'true' ],
			[ {}, { observe: true, enforced: false }, 'Observing', 'true' ],
			[ {}, { observe: true, enabled: false, enforced: false }, 'Observing', 'false' ],
			[ { applied: false }, { enforced: false }, 'On, but not in force', 'true' ],
			[ {}, { enforced: false }, 'On, but not at this hour', 'true' ],
			[ { applied: false }, { enforced: false, out_of_hours: true }, 'On, but not at this hour', 'true' ],
			[ {}, { enforced: false, out_of_hours: false }, 'On, but not in force', 'true' ],
			[ { applied: false, problems: [ { option: 'lanward.lan_only.level', message: "'x' is not a level" } ] }, {}, 'On', 'true' ]
		];
		for (const [ more, lan_only, word, checked ] of states) {
			const { parts, says } = await open({ status: status(more, lan_only) });
			assert.strictEqual(says(), word);
			assert.strictEqual(parts.switch.getAttribute('aria-checked'), checked);
			assert.strictEqual(parts.resume.shown(), word == 'Paused');
			assert.strictEqual(parts.left.textContent, word == 'Paused' ? '2 minutes left' : '');
			assert.strictEqual(parts.problems.shown(), (more.problems || []).length > 0);
			assert.strictEqual(parts.trouble.shown(), false);
		}
	},

	async 'the switch turns to what it is not, and says what it cut'() {
		const { view, parts, says } = await open({ status: status({}, { enabled: false, enforced: false }), lan_only: mode({ flows_cut: 3 }) });
		assert(view.pauses.every(button => button.disabled), 'nothing to pause');
		asked = [];
		answers.status = status({}, {});
		await parts.switch.fire('click');
		assert.deepStrictEqual(asked, [ [ 'lan_only', true, true ], [ 'status' ] ]);
		assert.strictEqual(says(), 'On');
		assert.strictEqual(parts.said.textContent, '3 live sessions ended.');
		assert.strictEqual(parts.switch.getAttribute('aria-busy'), null);
		asked = [];
		answers.lan_only = { error: 'it could not be saved', flows_cut: 0 };
		await parts.switch.fire('click');
		assert.deepStrictEqual(asked[0], [ 'lan_only', false, true ]);
		assert.strictEqual(parts.said.textContent, 'it could not be saved');
		assert(parts.said.classes.has('lanward-wrong'));
	},

	async 'one press is one call'() {
		const { parts } = await open({ status: status(), lan_only: mode() });
		asked = [];
		await Promise.all([ parts.switch.fire('click'), parts.switch.fire('click') ]);
		assert.strictEqual(asked.filter(call => call[0] == 'lan_only').length, 1);
	},

	async 'pauses and resumes'() {
		const { view, parts } = await open({ status: status(), pause: mode(), resume: mode() });
		asked = [];
		for (const button of view.pauses)
			await button.fire('click');
		answers.status = status({}, { paused_seconds: 60, enforced: false });
		await view.refresh();
		assert.strictEqual(parts.left.textContent, '60 seconds left');
		parts.resume.focus();
		answers.status = status();
		await parts.resume.fire('click');
		assert.deepStrictEqual(asked.filter(call => call[0] != 'status'), [ [ 'pause', 15 ], [ 'pause', 60 ], [ 'pause', 240 ], [ 'resume' ] ]);
		assert.strictEqual(document.activeElement, parts.switch, 'the focus stays in the page');
	},

	async 'without the daemon the page appears, says so, and comes back'() {
		for (const error of [ 'RPC call to lanward/status failed with error -32000: Object not found', 'RPC call to lanward/status failed with ubus code 4: Resource not found' ]) {
			const { view, parts } = await open({ status: new Error(error) });
			assert(parts.trouble.shown() && parts.trouble.textContent.includes('not running'));
			assert(!parts.trouble.textContent.includes('below'), 'nothing is known yet');
			assert.strictEqual(parts.main.shown(), false);
			answers.status = status({}, {}, [ gate() ]);
			await view.refresh();
			assert(parts.main.shown() && !parts.trouble.shown() && !parts.switch.disabled);
			answers.status = new Error(error);
			await view.refresh();
			assert(parts.main.shown() && parts.trouble.textContent.includes('below'));
			assert(parts.switch.disabled && parts.check.disabled && view.pauses.every(button => button.disabled));
		}
	},

	async 'without the right it says what to do'() {
		const { parts } = await open({ status: new Error('RPC call to lanward/status failed with error -32002: Access denied') });
		assert(parts.trouble.textContent.includes('log out and in again'));
	},

	async 'a session that reads sees everything and changes nothing'() {
		const { page, parts } = await open({ status: status({}, { paused_seconds: 100, enforced: false }, [ gate({ entries: 1 }) ]) }, false);
		const enabled = [];
		page.find(node => {
			if ([ 'button', 'input', 'select' ].includes(node.tag) && !node.disabled) enabled.push(node.textContent);
			return false;
		});
		assert.deepStrictEqual(enabled, [ 'Check this router' ]);
		assert(parts.readonly.shown() && page.textContent.includes('ssh: enabled, 1 address listed'));
		asked = [];
		parts.switch.fire('click');
		assert.deepStrictEqual(asked, []);
	},

	async 'the same answer again changes nothing'() {
		const { view } = await open({ status: status({ warnings: [ 'w' ] }, {}, [ gate({ entries: 1 }) ]) });
		assert.deepStrictEqual(polled.map(([ , seconds ]) => seconds), [ undefined, 15, 1 ]);
		const now = Date.now;
		const at = now();
		Date.now = () => at;
		await view.refresh();
		document.changes = 0;
		await view.refresh();
		await polled[0][0]();
		await polled[1][0]();
		assert.strictEqual(document.changes, 0);
		await polled[2][0]();
		Date.now = now;
		assert.strictEqual(document.changes, 0);
	},

	async 'before switching on it says what that would end, where the daemon knows'() {
		const flows = [ { source: '192.168.1.20', source_port: 50000, dest: '2001:db8::9', dest_port: 50443, direction: 'out' } ];
		const off = status({}, { enabled: false, enforced: false });
		const { view, parts } = await open({ status: off, preview: { count: 3, flows } });
		assert(parts.preview.shown());
		assert.strictEqual(parts.previewCount.textContent, 'Turning it on now would end 3 live sessions.');
		assert.strictEqual(parts.previewList.textContent, 'study-pc (192.168.1.20) to [2001:db8::9]:50443');
		assert.strictEqual(parts.previewMore.textContent, 'And 2 more.');
		answers.status = status();
		await view.refresh();
		assert(!parts.preview.shown());
		assert(!(await open({ status: off })).parts.preview.shown(), 'an older daemon');
	},

	async 'undo turns back, and only what still is'() {
		const { view, parts } = await open({ status: status({}, { enabled: false, enforced: false }), lan_only: mode() });
		assert(!parts.undo.shown());
		answers.status = status();
		await parts.switch.fire('click');
		assert(parts.undo.shown());
		answers.status = status({}, { enabled: false, enforced: false });
		await view.refresh();
		assert(!parts.undo.shown(), 'somebody else switched');
		answers.status = status();
		await view.refresh();
		asked = [];
		parts.undo.focus();
		answers.status = status({}, { enabled: false, enforced: false });
		await parts.undo.fire('click');
		assert.deepStrictEqual(asked[0], [ 'lan_only', false, true ]);
		assert(!parts.undo.shown() && parts.said.textContent.includes('do not come back'));
		assert.strictEqual(document.activeElement, parts.switch);
	},

	async 'the limits are those of the chosen applications at the present level'() {
		const { view, parts } = await open({ status: status({}, { profiles: [ 'vnc' ], level: 'seed' }) });
		assert(parts.chosen.textContent.startsWith('VNCStopped at the present level: nothing') && !parts.noneChosen.shown());
		answers.status = status({}, { profiles: [], level: 'strict' });
		await view.refresh();
		assert(parts.chosen.textContent.startsWith('Chrome Remote DesktopStopped at the present level: direct connections only') && parts.noneChosen.shown());
	},

	async 'an older answer that comes later is not shown'() {
		const { view, says } = await open({ status: status() });
		let come;
		answers.status = new Promise(resolve => { come = resolve; });
		const older = view.refresh();
		answers.status = status({}, { enabled: false, enforced: false });
		await view.refresh();
		come(status());
		await older;
		assert.strictEqual(says(), 'Off');
	},

	async 'the diagnosis names what is not right, errors first'() {
		const checks = [ { name: 'clock', ok: true, severity: 'info', message: 'right' }, { name: 'upnp', ok: false, severity: 'warning', message: 'runs' }, { name: 'fw4', ok: false, severity: 'error', message: 'is not there' } ];
		const { parts } = await open({ status: status(), check: { checks } });
		await parts.check.fire('click');
		assert.deepStrictEqual(parts.checks.children.map(node => node.textContent), [ 'Error fw4 is not there', 'Warning upnp runs' ]);
		assert.strictEqual(parts.checkSaid.textContent, '2 things to look at.');
	},

	async 'an answer of another shape breaks nothing'() {
		const { parts } = await open({ status: { gates: 'none', problems: 3, warnings: null, version: 7 } });
		assert.strictEqual(parts.state.textContent, 'Off');
		await open({ status: status({}, { ports: 'x', dropped_packets: '9' }, [ { name: 'bare' } ]) });
	}
};

(async () => {
	for (const [ name, run ] of Object.entries(cases)) {
		try {
			await run();
		}
		catch (error) {
			console.log(`${name}: ${error.stack}`);
			process.exitCode = 1;
		}
	}
	if (!process.exitCode)
		console.log(`${Object.keys(cases).length} cases, all as expected`);
})();
