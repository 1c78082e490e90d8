'use strict';
'require baseclass';
'require rpc';
'require uci';
'require ui';
'require dom';
'require tools.lanward.said as said';

/* What the pages of lanward share: the calls, what a failed one means, and what the switch's state is. */

const declare = (method, params) => rpc.declare({
	object: 'lanward',
	method: method,
	params: params || [],
	expect: { '': {} },
	reject: true
});

const calls = {
	status: declare('status'),
	lan_only: declare('lan_only', [ 'enabled', 'persist' ]),
	preview: declare('preview'),
	pause: declare('pause', [ 'minutes' ]),
	resume: declare('resume'),
	gate_list: declare('gate_list', [ 'gate' ]),
	gate_admit: declare('gate_admit', [ 'gate', 'address', 'seconds' ]),
	gate_remove: declare('gate_remove', [ 'gate', 'address' ]),
	gate_flush: declare('gate_flush', [ 'gate' ]),
	knock_list: declare('knock_list'),
	spa_list: declare('spa_list'),
	spa_keygen: declare('spa_keygen', [ 'name', 'host', 'access' ]),
	spa_revoke: declare('spa_revoke', [ 'name' ]),
	history: declare('history', [ 'by', 'from', 'to', 'limit', 'protocol', 'port', 'address' ]),
	ledger_recent: declare('ledger_recent'),
	ledger_erase: declare('ledger_erase'),
	relay_list: declare('relay_list'),
	relay_restart: declare('relay_restart', [ 'name' ]),
	relay_check: declare('relay_check', [ 'name' ]),
	relay_keygen: declare('relay_keygen', [ 'name' ]),
	relay_files: declare('relay_files', [ 'name' ]),
	check: declare('check')
};

/* Read-only helpers of the router itself: who is in the LAN, and what the package ships. */
const hostHints = rpc.declare({
	object: 'luci-rpc',
	method: 'getHostHints',
	expect: { '': {} },
	reject: true
});
const readFile = rpc.declare({
	object: 'file',
	method: 'read',
	params: [ 'path' ],
	expect: { data: '' },
	reject: true
});

/* What an error says. LuCI appends where it was thrown, line by line. */
const reason = error => String((error && error.message) || error).split(/\n/)[0];

const language = () => String(document.documentElement.lang || '').substring(0, 2);

/* An answer with the daemon's sentences in the page's language, wherever a method may give them. */
const inWords = reply => {
	const each = (name, change) => {
		if (Array.isArray(reply[name]))
			reply[name] = reply[name].filter(item => item != null).map(change);
	};
	const message = item => Object.assign({}, item, { message: said.translate(item.message) });

	each('problems', message);
	each('checks', message);
	each('warnings', warning => said.translate(warning));
	const error = item => Object.assign({}, item, { error: item.error ? said.translate(item.error) : '' });

	each('spas', error);
	each('relays', item => Object.assign(error(item), item.key_error ? { key_error: said.translate(item.key_error) } : {}));

	if (reply.ledger && reply.ledger.problem)
		reply.ledger = Object.assign({}, reply.ledger, { problem: said.translate(reply.ledger.problem) });

	return reply;
};

return baseclass.extend({
	reason: reason,

	/* Calls the daemon. Rejects with an Error whose `kind` is 'down', 'denied', 'absent' (the daemon has no such method) or
	 * 'failed', and whose message is for people. A refusal that the daemon has words for comes with its answer in `reply`: it may have done part of what was asked. */
	call(method, ...args) {
		return calls[method](...args).then(reply => {
			if (reply.error == null)
				return inWords(reply);

			const error = new Error(said.translate(reply.error));
			error.kind = 'failed';
			error.reply = reply;
			throw error;
		}, error => {
			throw this.explain(error, method);
		});
	},

	/* The bus and the web server have numbers only. */
	explain(error, method) {
		const text = reason(error);
		const has = part => text.indexOf(part) >= 0;
		let kind = 'failed';
		let message = _('The request failed: %s').format(text);

		if (has('error -32002') || has('ubus code 6:')) {
			kind = 'denied';
			message = _('This session has no right to do that. If the package was installed just now, log out and in again.');
		}
		else if (has('error -32000') || has('ubus code 4:')) {
			/* Not found: the object, or a gate or a relay by that name. */
			if (method.indexOf('gate_') == 0) {
				message = _('There is no such gate any more, or the daemon is not running.');
			}
			else if (method.indexOf('relay_') == 0 && method != 'relay_list') {
				message = _('There is no such relay any more, or the daemon is not running.');
			}
			else {
				kind = 'down';
				message = _('The daemon is not running, or not connected to the bus.');
			}
		}
		else if (has('ubus code 3:')) {
			kind = 'absent';
			message = _('The daemon does not know the request: the page and the daemon may be of different versions.');
		}
		else if (has('ubus code 2:')) {
			message = _('The daemon does not understand the request: the page and the daemon may be of different versions.');
		}
		else if (has('ubus code 7:') || has('timed out')) {
			kind = 'down';
			message = _('The daemon does not answer.');
		}

		const explained = new Error(message);
		explained.kind = kind;
		return explained;
	},

	/* What to say of a failed call at the head of a page. `known`: the page shows something older. `without`: how it is without the daemon. */
	trouble(error, known, without) {
		return [
			error.message,
			error.kind == 'down' ? without || _('Rules that it has put into the kernel stay in force without it.') : '',
			known ? _('What is shown below is what was known last.') : ''
		].join(' ').trim();
	},

	/* One word for what the kernel does now, from the answer of `status`:
	 * observing | off | paused | on | idle (out of its hours) | bare (a zone without a device) | lost. */
	verdict(status) {
		const mode = status.lan_only || {};

		if (mode.observe)
			return 'observing';
		if (!mode.enabled)
			return 'off';
		if (mode.paused_seconds > 0)
			return 'paused';
		if (mode.enforced)
			return 'on';

		if (mode.out_of_hours)
			return 'idle';

		return status.applied !== false && [ mode.source_devices, mode.dest_devices ].some(devices => !this.list(devices).length) ? 'bare' : 'lost';
	},

	/* Shows on a page whether the daemon has answered, and what is older as old. Gives whether it has. */
	answered(page, found, without) {
		const { trouble, main } = page.parts;

		page.up = found.error == null;
		this.show(trouble, !page.up);
		this.text(trouble, page.up ? '' : this.trouble(found.error, page.known, without));
		page.known = page.known || page.up;
		this.show(main, page.known);
		main.classList.toggle('lanward-stale', !page.up);

		return page.up;
	},

	/* Has a page show what was asked for, unless it has asked anew meanwhile: an older answer that comes later tells less. */
	newest(page, promise) {
		const turn = page.turn = (page.turn || 0) + 1;

		return promise.then(found => turn == page.turn ? page.update(found) : null);
	},

	/* What comes from the daemon is shown as text; what is missing as nothing. */
	list(value) {
		return Array.isArray(value) ? value : [];
	},

	number(value) {
		return (typeof(value) == 'number' && isFinite(value)) ? value : 0;
	},

	/* A moment of the daemon's, as people write it here. */
	when(seconds) {
		return new Date(seconds * 1000).toLocaleString(document.documentElement.lang || []);
	},

	/* What a relay does now, in a word, and where it leads from and to. */
	relayState(relay) {
		return {
			'idle': _('not enabled'),
			'starting': _('connecting'),
			'up': _('up'),
			'backoff': _('down, to be tried again'),
			'failed': _('stopped')
		}[relay.state] || String(relay.state);
	},

	relayWay(relay) {
		const host = String(relay.host);

		return '%s:%d -> %s'.format(host.indexOf(':') < 0 ? host : '[%s]'.format(host), this.number(relay.remote_port), relay.target);
	},

	/* Changes a node's text only if it is another: what is selected or being read aloud stays. */
	text(node, text) {
		if (node.textContent !== text)
			node.textContent = text;
	},

	/* What has the focus gives it to the page's heading before it is hidden. */
	show(node, shown) {
		if (!shown && node.contains(document.activeElement))
			node.closest('.lanward').querySelector('h2').focus();

		node.style.display = shown ? '' : 'none';
	},

	/* A page's outermost node. */
	page(children) {
		return E('div', { 'class': 'lanward' }, [
			E('link', { 'rel': 'stylesheet', 'href': L.resource('view/lanward/style.css') }),
			...children
		]);
	},

	/* One press, one call. The button keeps the focus, which `disabled` would take from it. */
	press(button, action) {
		if (button.disabled || button.getAttribute('aria-busy') == 'true')
			return;

		const done = () => button.removeAttribute('aria-busy');

		button.setAttribute('aria-busy', 'true');

		try {
			return action().finally(done);
		}
		catch (error) {
			done();
			throw error;
		}
	},

	/* Says in a live region what came of a press; also if it is the same again, which is news then. */
	say(node, text, wrong) {
		node.classList.toggle('lanward-wrong', wrong == true);
		node.textContent = text;
	},

	/* Fills a list anew only if it has changed: `children` makes an item's nodes. */
	fill(node, items, children) {
		const key = JSON.stringify(items);

		if (node.lanwardKey === key)
			return;

		node.lanwardKey = key;
		dom.content(node, items.map(item => E('li', {}, [ ...children(item) ])));
	},

	/* Holds a node's children to a list: for each key one row { node, ... }, made once by `make`, changed in place by `change`,
	 * in the list's order, and removed with its key. Gives the rows by key. */
	rows(parent, items, key, make, change) {
		const known = parent.lanwardRows || (parent.lanwardRows = new Map());
		const keys = items.map(key);

		known.forEach((row, name) => {
			if (keys.indexOf(name) < 0) {
				this.show(row.node, false);
				row.node.remove();
				known.delete(name);
			}
		});

		items.forEach((item, at) => {
			let row = known.get(keys[at]);

			if (!row)
				known.set(keys[at], row = make(item));

			change(row, item);

			if (parent.children[at] !== row.node)
				parent.insertBefore(row.node, parent.children[at] || null);
		});

		return known;
	},

	/* Attributes of a field for addresses: no browser completes or corrects them. */
	typed: {
		'class': 'cbi-input-text',
		'type': 'text',
		'autocomplete': 'off',
		'autocapitalize': 'none',
		'spellcheck': 'false'
	},

	/* Lines to be taken along: { field, copy, set(text) }; `say` is told what came of copying. */
	lines(label, say) {
		const field = E('textarea', { 'class': 'lanward-stanza', 'readonly': '', 'spellcheck': 'false', 'aria-label': label }, []);

		return {
			field: field,

			copy: E('button', {
				'class': 'btn cbi-button cbi-button-action',
				'type': 'button',
				'click': () => {
					field.focus();
					field.select();
					/* The newer way is for pages over TLS only. */
					say(document.execCommand('copy') ? _('Copied.') : _('It is selected: copy it with Ctrl+C.'));
				}
			}, [ _('Copy') ]),

			set: text => {
				const rows = text.split(/[\r\n]+/).reduce((sum, line) => sum + Math.ceil(line.length / 50), 1);

				if (field.value !== text) {
					field.value = text;
					field.setAttribute('rows', Math.min(16, rows));
				}
			}
		};
	},

	/* Gives the browser a file to keep. */
	download(name, content, type) {
		if (this.kept)
			URL.revokeObjectURL(this.kept);

		this.kept = URL.createObjectURL(new Blob([ content ], { type: type }));
		E('a', { 'href': this.kept, 'download': name }, []).click();
	},

	/* What the daemon warns of. { node, change(status) } */
	warnings() {
		const list = E('ul', { 'class': 'lanward-list' });
		const node = E('div', { 'class': 'cbi-section' }, [ E('h3', {}, [ _('Warnings') ]), list ]);

		return {
			node: node,
			change: status => {
				const warnings = this.list(status.warnings);

				this.fill(list, warnings, warning => [ warning ]);
				this.show(node, warnings.length > 0);
			}
		};
	},

	/* A row of a table of facts: what it is, and the cell that says it. */
	fact(label, cell) {
		return E('tr', { 'class': 'tr' }, [
			E('th', { 'class': 'td left', 'width': '35%', 'scope': 'row' }, [ label ]),
			cell
		]);
	},

	/* Saves what `change` does to the configuration as the forms do it, for this session. Where that fails nothing is changed, and it
	 * rejects with an Error for people. */
	save(change) {
		return Promise.resolve().then(change).then(() => uci.save()).catch(error => {
			uci.unload('lanward');

			return uci.load('lanward').catch(() => null).then(() => {
				throw new Error(_('The configuration cannot be saved: %s').format(reason(error)));
			});
		});
	},

	/* Applies what is saved as LuCI does it: with a way back. At its end the page is loaded anew. */
	apply() {
		ui.changes.apply(true);
	},

	/* LuCI's dialog, of which there is one: the keyboard stays in it, and nothing of it stays when it closes. `buttons`: [ label, class,
	 * pressed(button) ]; the Escape key presses the first, but not where the dialog is `firm`. `back` has the focus after it. { said, close() } */
	dialog(title, children, buttons, back, firm) {
		const said = E('div', { 'class': 'lanward-said', 'role': 'status' });
		const made = buttons.map(([ label, kind, pressed ]) => E('button', {
			'class': 'btn cbi-button ' + kind,
			'type': 'button',
			'click': ev => pressed(ev.currentTarget)
		}, [ label ]));
		const body = E('div', {
			'class': 'lanward-dialog',
			'keydown': ev => {
				const all = [ ...body.querySelectorAll('button, input, select, textarea') ];

				/* The page behind the dialog is not for the keyboard now. */
				if (ev.key == 'Tab') {
					ev.preventDefault();
					all[(all.indexOf(document.activeElement) + (ev.shiftKey ? all.length - 1 : 1)) % all.length].focus();
				}
				else if (ev.key == 'Enter' && ev.target.matches('input')) {
					ev.preventDefault();
					made[made.length - 1].click();
				}
			}
		}, [ ...children, said, E('div', { 'class': firm ? 'lanward-buttons' : 'right' }, [ ...[].concat(...made.map(button => [ button, ' ' ])) ]) ]);
		const dialog = ui.showModal([ title ], [ body ]);

		dialog.setAttribute('aria-label', title);
		(body.querySelector('input, select') || made[0]).focus();

		return {
			said: said,

			close: () => {
				dom.content(dialog, []);
				dialog.removeAttribute('aria-label');
				ui.hideModal();
				(back.isConnected ? back : document.querySelector('.lanward h2')).focus();
			}
		};
	},

	/* A link to another page of this app. */
	link(page, text) {
		return E('a', { 'href': L.url('admin/services/lanward', page) }, [ text ]);
	},

	/* The hosts that the router knows by leases and neighbours: [ { mac, name, addresses } ], by name; an empty list where they
	 * cannot be had: names are a help, not a need. */
	hosts() {
		return hostHints().then(hints => Object.keys(hints).map(mac => ({
			mac: mac.toLowerCase(),
			name: String(hints[mac].name || '').replace(/\.$/, ''),
			addresses: [ ...this.list(hints[mac].ipaddrs), ...this.list(hints[mac].ip6addrs) ].map(String)
		})).sort((a, b) => (a.name == '') - (b.name == '') || a.name.localeCompare(b.name) || a.mac.localeCompare(b.mac))).catch(() => []);
	},

	/* The profiles as shipped: { levels, applications, measurement }, or { error } where they cannot be read. Never rejects. */
	profiles() {
		return readFile('/usr/share/lanward/profiles.json').then(text => {
			const known = JSON.parse(text);

			/* Some of the daemon's warnings quote them. */
			said.learn(known, language());

			return {
				levels: this.list(known.levels),
				applications: this.list(known.applications),
				measurement: known.measurement || {}
			};
		}).catch(error => ({ levels: [], applications: [], measurement: {}, error: reason(error) }));
	},

	/* One of the texts of the profiles, in the page's language. */
	local(texts) {
		return String((texts && (texts[language()] || texts.en)) || '');
	},

	/* Where this browser comes from, as the router's web server sees it: { address, from, name }. `from` is 'router' (a tunnel or a
	 * proxy), 'inside' (no address of the internet, or a host that the router knows: `name`) or 'outside'. Rejects where that cannot
	 * be told. */
	me() {
		return window.fetch(L.url('admin/services/lanward/address'), { credentials: 'same-origin' }).then(answer => {
			if (!answer.ok)
				throw new Error('HTTP %d'.format(answer.status));

			return answer.json();
		}).then(answer => {
			const address = String(answer.address || '').toLowerCase().replace(/%.*$/, '').replace(/^::ffff:(?=[0-9.]+$)/, '');

			if (address == '')
				throw new Error(_('the web server does not say it'));
			if (/^127[.]|^::1$/.test(address))
				return { address: address, from: 'router', name: '' };
			if (/^(10|192[.]168|169[.]254|172[.](1[6-9]|2[0-9]|3[01])|100[.](6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7]))[.]|^f[cd]|^fe[89ab]/.test(address))
				return { address: address, from: 'inside', name: '' };

			return this.hosts().then(hosts => {
				const host = hosts.find(known => known.addresses.indexOf(address) >= 0);

				return { address: address, from: host ? 'inside' : 'outside', name: host ? host.name : '' };
			});
		});
	},

	/* Lets a control be used or not. One that has the focus keeps it, which `disabled` would take away: pressed, it says why it
	 * does nothing. */
	allow(control, may) {
		control.disabled = !may && document.activeElement !== control;
		control.setAttribute('aria-disabled', may ? 'false' : 'true');
	}
});
