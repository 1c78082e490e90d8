'use strict';
'require view';
'require poll';
'require uci';
'require tools.lanward as lanward';
'require tools.lanward.keys as keys';
'require tools.lanward.knocks as knocks';
'require tools.lanward.values as values';

/* Rows of a list beyond these are counted, not shown. */
const MOST_ROWS = 200;

/* With more entries than these in all, the lists are asked for every so many polls only: they are long, and routers are small. */
const MANY = 1000;
const SELDOM = 6;

/* Text from outside reaches the page only within arrays or as textContent: LuCI takes a bare string for markup. */
return view.extend({
	handleSaveApply: null,
	handleSave: null,
	handleReset: null,

	load() {
		this.polls = 0;

		return Promise.resolve(uci.load('lanward')).catch(() => null).then(() => this.fetch(true));
	},

	/* {status, entries, unlisted, knocks, keys} or {error}; never rejects, so that the page appears whatever is the matter. `entries` is null
	 * where the lists were not asked for. */
	fetch(at_once) {
		const due = at_once || ++this.polls % SELDOM == 0;

		return lanward.call('status').then(status => {
			const gates = lanward.list(status.gates);
			const count = gates.reduce((sum, gate) => sum + lanward.number(gate.entries), 0);
			const list = () => lanward.call('gate_list').then(
				reply => ({ entries: this.dated(lanward.list(reply.entries)), more: reply.more === true }),
				error => ({ entries: null, unlisted: error }));

			return Promise.all([
				count == 0 ? { entries: [] } : (count > MANY && !due) ? { entries: null } : list(),
				knocks.fetch(gates),
				keys.fetch(gates)
			]).then(([ listed, knocked, keyed ]) => Object.assign({ status: status, knocks: knocked, keys: keyed }, listed));
		}).catch(error => ({ error: error }));
	},

	/* The entries with the end of their time by this machine's clock; null: none. */
	dated(entries) {
		const now = Date.now();

		return entries.map(entry => ({
			gate: entry.gate,
			address: String(entry.address),
			why: lanward.list(entry.why).map(String),
			until: (typeof(entry.expires) == 'number') ? now + entry.expires * 1000 : null
		}));
	},

	render(first) {
		this.readonly = !L.hasViewPermission();
		this.gates = new Map();
		this.parts = {};
		this.made = 0;
		this.known = false;
		this.up = false;
		this.me = null;
		this.warnings = lanward.warnings();
		this.knocks = knocks.list();
		this.keys = keys.list(this.readonly);

		const part = (name, tag, attributes, children) =>
			this.parts[name] = E(tag, attributes || {}, children || []);

		const page = lanward.page([
			part('title', 'h2', { 'tabindex': '-1' }, [ _('SSH gate') ]),
			part('trouble', 'div', { 'class': 'alert-message error', 'role': 'alert' }),
			part('readonly', 'div', { 'class': 'alert-message notice' }, [
				_('This session may look, but not change anything.')
			]),
			E('p', {}, [
				_('A gate lets SSH, or another TCP service, answer only addresses from the internet that proved themselves a moment ago. To others the port looks like any other. The LAN and the VPN are never gated.')
			]),
			E('p', {}, [
				_('A knock alone is obscurity: whoever listens on the way can repeat it. A key (SPA) is a proof, which nobody can forge or repeat. SSH\'s own keys stand behind both.')
			]),
			part('main', 'div', { 'class': 'lanward-gates' }, [
				part('refused', 'div', { 'class': 'alert-message warning' }, [
					_('The configuration is not applied as it is written. What was applied before stays in force; after a start, whatever is in doubt is shut.'), ' ',
					lanward.link('overview', _('See what is wrong'))
				]),
				part('mine', 'p', { 'class': 'lanward-mine' }),
				part('none', 'div', { 'class': 'cbi-section' }, [
					E('h3', {}, [ _('There is no gate yet') ]),
					E('ol', { 'class': 'lanward-list' }, [
						E('li', {}, [ _('Add a gate in the settings, with the service that it is to guard: tcp:22 is SSH on this router.') ]),
						E('li', {}, [ _('Add what opens it: a witness, for example, is a connection to your mail server on port 993.') ]),
						E('li', {}, [ _('Enable it, save and apply. Then try it from outside, before you rely on it.') ])
					]),
					E('p', {}, [ lanward.link('settings', _('Add a gate in the settings')) ])
				]),
				part('gates', 'div', {}),
				this.knocks.node,
				this.keys.node,
				this.warnings.node
			])
		]);

		lanward.show(this.parts.readonly, this.readonly);
		lanward.show(this.parts.mine, false);
		this.update(first);
		this.findMe();
		poll.add(L.bind(this.refresh, this, false));
		poll.add(L.bind(this.countDown, this), 1);

		return page;
	},

	/* Says where this browser comes from, and offers that address at each gate where admitting it changes anything. */
	findMe() {
		return lanward.me().then(me => {
			const words = {
				'router': _('You are here through this router itself (%s), by a tunnel or a proxy: it cannot tell your own address.'),
				'inside': _('You are here from %s, which is not an address of the internet. The LAN and the VPN are never gated: there is nothing to admit.'),
				'known': _('You are here from %s, which is a host that this router knows. The LAN and the VPN are never gated: there is nothing to admit.'),
				'outside': _('You are here from %s.')
			};

			this.me = me;
			lanward.text(this.parts.mine, words[me.from == 'inside' && me.name ? 'known' : me.from].format(
				me.name ? '%s (%s)'.format(me.address, me.name) : me.address));
		}, error => {
			lanward.text(this.parts.mine, _('Your own address could not be found out: %s').format(lanward.reason(error)));
		}).then(() => {
			lanward.show(this.parts.mine, true);
			this.gates.forEach(gate => this.enableGate(gate));
		});
	},

	refresh(at_once) {
		return lanward.newest(this, this.fetch(at_once));
	},

	update(found) {
		const parts = this.parts;

		if (!lanward.answered(this, found)) {
			this.gates.forEach(gate => this.enableGate(gate));
			this.keys.enable(false);
			return;
		}

		lanward.show(parts.refused, found.status.applied === false);
		this.warnings.change(found.status);
		this.showGates(lanward.list(found.status.gates), found);
		this.knocks.change(found.knocks);
		this.keys.change(found.keys, lanward.list(found.status.gates));
		this.keys.enable(true);
	},

	showGates(gates, found) {
		const names = gates.map(gate => gate.name);
		const list = this.parts.gates;

		this.gates.forEach((known, name) => {
			if (names.indexOf(name) < 0)
				this.loseGate(known);
		});

		gates.forEach((gate, at) => {
			let known = this.gates.get(gate.name);

			if (!known) {
				known = this.renderGate(gate.name);
				this.gates.set(gate.name, known);
				list.insertBefore(known.node, list.children[at] || null);
			}

			this.showGate(known, gate, found);
		});

		lanward.show(this.parts.none, this.gates.size == 0);
	},

	/* A gate that is there no more. Whoever is at it reads why nothing works there; it goes once they have left. */
	loseGate(gate) {
		if (gate.node.contains(document.activeElement)) {
			gate.lost = true;
			gate.open = false;
			lanward.text(gate.badge, _('there no more'));
			this.enableGate(gate);
			return;
		}

		gate.node.remove();
		this.gates.delete(gate.name);
	},

	renderGate(name) {
		const id = 'lanward-gate-%d'.format(++this.made);
		const gate = { name: name, rows: new Map(), entries: [], facts: {} };
		const choice = (seconds, label) => E('option', { 'value': seconds }, [ label ]);
		const head = (label) => E('th', { 'class': 'th left', 'scope': 'col' }, [ label ]);
		const fact = (key, label) => lanward.fact(label, gate.facts[key] = E('td', { 'class': 'td left' }));
		const alone = (label, value) => E('button', {
			'class': 'btn cbi-button cbi-button-neutral',
			'type': 'button',
			'click': ev => lanward.press(ev.currentTarget, () => this.acknowledge(gate, value))
		}, [ label ]);

		gate.node = E('div', { 'class': 'cbi-section lanward-gate', 'role': 'group', 'aria-labelledby': id }, [
			gate.heading = E('h3', { 'id': id, 'tabindex': '-1' }, [ name, ' ', gate.badge = E('span', { 'class': 'label lanward-badge' }) ]),
			gate.meaning = E('p', {}),
			gate.problems = E('ul', { 'class': 'lanward-list' }),
			gate.knockOnly = E('div', { 'class': 'alert-message warning' }, [
				_('A knock sequence is the only proof here. It can be overheard on its way and repeated by a stranger: it is one layer, not the only one. What keeps strangers out is behind it: have SSH take keys only, and no passwords.'), ' ',
				gate.aware = alone(_('I know'), '1')
			]),
			gate.knockKnown = E('p', {}, [ _('A knock is the only proof here, and you know it.'), ' ', gate.unaware = alone(_('Warn me again'), null) ]),
			gate.nothing = E('div', { 'class': 'alert-message notice' }, [
				_('Nothing opens this gate but your own hand.'), ' ',
				lanward.link('settings', _('Add a witness in the settings'))
			]),
			E('table', { 'class': 'table lanward-facts' }, [
				fact('services', _('Guards')),
				fact('proofs', _('Opened by')),
				fact('window', _('An address stays listed')),
				fact('forget', _('It is forgotten')),
				fact('refuse', _('Everybody else is refused')),
				fact('admitted', _('Admitted')),
				fact('refused', _('Refused')),
				fact('overflow', _('Turned away')),
				fact('listed', _('Listed now'))
			]),
			gate.controls = E('div', {}, [
				gate.filterRow = E('div', { 'class': 'lanward-buttons' }, [
					E('label', { 'for': id + '-filter' }, [ _('Show addresses with') ]),
					gate.filter = E('input', {
						...lanward.typed,
						'id': id + '-filter',
						'placeholder': '203.0.113',
						'input': () => this.search(gate)
					}),
					gate.matches = E('span', { 'role': 'status' })
				]),
				gate.table = E('table', { 'class': 'table lanward-entries', 'aria-label': _('Addresses listed at %s').format(name) }, [
					E('tr', { 'class': 'tr table-titles' }, [
						head(_('Address')),
						head(_('Family')),
						head(_('Why')),
						head(_('Remaining')),
						E('td', { 'class': 'th cbi-section-actions' })
					])
				]),
				gate.more = E('p', {}),
				E('form', {
					'class': 'lanward-buttons',
					'submit': ev => {
						ev.preventDefault();
						return lanward.press(gate.admit, () => this.admitTyped(gate));
					}
				}, [
					gate.mine = E('button', {
						'class': 'btn cbi-button cbi-button-action important lanward-own',
						'type': 'button',
						'click': ev => lanward.press(ev.currentTarget, () => this.admit(gate, this.me.address))
					}),
					E('label', { 'for': id + '-address' }, [ _('Admit an address') ]),
					gate.address = E('input', {
						...lanward.typed,
						'id': id + '-address',
						'placeholder': '203.0.113.9'
					}),
					gate.seconds = E('select', { 'class': 'cbi-input-select', 'aria-label': _('For how long') }, [
						gate.asSeen = choice('', ''),
						choice('600', _('for 10 minutes')),
						choice('3600', _('for 1 hour')),
						choice('28800', _('for 8 hours'))
					]),
					gate.admit = E('button', { 'class': 'btn cbi-button cbi-button-add', 'type': 'submit' }, [ _('Admit') ])
				]),
				E('div', { 'class': 'lanward-buttons' }, [
					gate.flush = E('button', {
						'class': 'btn cbi-button cbi-button-negative',
						'type': 'button',
						'aria-haspopup': 'dialog',
						'click': () => this.askFlush(gate)
					}, [ _('Remove all') ]),
					E('span', {}, [ _('Sessions that are running go on when their address is removed.') ])
				])
			]),
			gate.said = E('div', { 'class': 'lanward-said', 'role': 'status' })
		]);

		lanward.show(gate.filterRow, false);

		return gate;
	},

	/* tcp:22, tcp:2222>192.168.1.10:22 and tcp:22>[2001:db8::10]:22 in words: nothing is redirected over IPv6. */
	service(text) {
		const parts = String(text).match(/^tcp:([0-9]+)(>(\[?)([^\]]+)\]?:([0-9]+))?$/);

		if (!parts)
			return String(text);

		if (!parts[2])
			return _('TCP port %s of this router').format(parts[1]);

		return parts[3]
			? _('TCP port %s of the LAN host %s, over IPv6').format(parts[5], parts[4])
			: _('TCP port %s, forwarded to %s, port %s').format(parts[1], parts[4], parts[5]);
	},

	/* What a gate is, in words; what the daemon does not say is not shown. */
	showGate(known, gate, found) {
		const names = key => lanward.list(gate[key]).map(String);
		const kinds = [ [ 'witnesses', _('witness %s') ], [ 'knocks', _('knock %s') ], [ 'spas', _('key (SPA) %s') ] ]
			.filter(([ key ]) => names(key).length > 0);
		const proofs = kinds.map(([ key, label ]) => label.format(names(key).join(', ')));
		const off = !gate.enabled;
		const number = key => lanward.number(gate[key]);
		const fact = (key, text) => {
			lanward.text(known.facts[key], text || '');
			lanward.show(known.facts[key].parentNode, text != null && text != '');
		};

		known.lost = false;
		known.open = !off && !gate.shut;
		known.node.setAttribute('data-state', off ? 'off' : gate.shut ? 'shut' : 'on');
		lanward.text(known.badge, off ? _('not enabled') : gate.shut ? _('shut') : _('enabled'));
		lanward.text(known.meaning, off
			? _('It guards nothing and opens nothing. What the firewall itself allows is allowed.')
			: gate.shut ? _('Its configuration is wrong: nobody gets in from the internet until that is put right.') : '');
		lanward.show(known.meaning, known.meaning.textContent != '');

		/* What the daemon says of this gate or of what opens it. */
		const sections = [ String(gate.name) ].concat(names('witnesses'), names('knocks'), names('spas'));
		const said = lanward.list(found.status.problems)
			.filter(problem => sections.indexOf(String(problem.option).split('.')[1]) >= 0)
			.map(problem => [ String(problem.option), String(problem.message) ]);

		lanward.fill(known.problems, said, ([ option, message ]) => [ E('code', {}, [ option ]), ' ', message ]);
		lanward.show(known.problems, said.length > 0);

		const lone = known.open && kinds.length == 1 && kinds[0][0] == 'knocks';
		const section = uci.get('lanward', known.name);
		const aware = section != null && values.shape({ kind: 'switch' }, section.knock_alone) == '1';

		lanward.show(known.knockOnly, lone && !aware);
		lanward.show(known.knockKnown, lone && aware);
		[ known.aware, known.unaware ].forEach(button => lanward.show(button, section != null && !this.readonly));
		lanward.show(known.nothing, known.open && kinds.length == 0);

		fact('services', names('services').map(this.service).join('; '));
		fact('proofs', proofs.length ? proofs.join('; ') : known.open ? _('only by hand') : '');
		fact('window', N_(number('window'), '%d second since it was last seen', '%d seconds since it was last seen').format(number('window'))
			+ (number('prefix6') == 64 ? ' ' + _('(IPv6: the whole /64 network)') : ''));
		fact('forget', {
			'first_fin': _('before that, when one of its sessions ends'),
			'last_close': _('before that, when the last of its sessions ends'),
			'never': _('not before that')
		}[gate.forget]);
		fact('refuse', {
			'zone': _('as the firewall refuses any closed port'),
			'reset': _('at once (TCP reset)'),
			'drop': _('without an answer')
		}[gate.refuse]);
		/* What does nothing has nothing to count. */
		const idle = off && number('entries') == 0;

		fact('admitted', idle ? '' : N_(number('admitted'), '%d time', '%d times').format(number('admitted')));
		fact('refused', idle ? '' : N_(number('refused'), '%d packet', '%d packets').format(number('refused')));
		fact('overflow', idle ? '' : number('overflow') > 0
			? N_(number('overflow'), '%d packet, because the list was full', '%d packets, because the list was full').format(number('overflow'))
			: N_(0, '%d packet', '%d packets').format(0));
		fact('listed', idle ? '' : _('%d, with room for %d of each family').format(number('entries'), number('size')));
		lanward.text(known.asSeen, _('as if just seen (%d s)').format(number('window')));

		known.unlisted = found.unlisted ? found.unlisted.message : '';

		/* Those that one answer has no room for are only counted. */
		if (found.entries) {
			known.entries = found.entries.filter(entry => entry.gate === gate.name);
			known.unsent = found.more ? Math.max(0, number('entries') - known.entries.length) : 0;
		}

		this.showEntries(known);
		this.enableGate(known);
		this.showPart(known, known.controls, !off || known.entries.length > 0);
	},

	/* Hides what has no use now; the keyboard's user goes on at the gate's name. */
	showPart(gate, node, shown) {
		if (!shown && node.contains(document.activeElement))
			gate.heading.focus();

		lanward.show(node, shown);
	},

	/* The first rows of those that the filter lets through. Gives how many it lets through. */
	showEntries(gate) {
		const wanted = gate.filter.value.trim().toLowerCase();
		const matching = gate.entries.filter(entry => entry.address.indexOf(wanted) >= 0);
		const entries = matching.slice(0, MOST_ROWS);
		const hidden = matching.length - entries.length + (gate.unsent || 0);
		const listed = new Set(entries.map(entry => entry.address));

		gate.rows.forEach((row, address) => {
			if (!listed.has(address))
				this.dropRow(gate, address, row);
		});

		/* Rows that are there stay where they are. */
		let next = gate.table.children[1] || null;

		entries.forEach(entry => {
			let row = gate.rows.get(entry.address);

			if (!row) {
				row = this.renderRow(gate, entry.address);
				gate.rows.set(entry.address, row);
				gate.table.insertBefore(row.node, next);
			}
			else if (row.node === next) {
				next = next.nextElementSibling;
			}

			row.until = entry.until;
			lanward.text(row.why, entry.why.map(why => ({ 'witness': _('witness'), 'knock': _('knock'), 'spa': _('key (SPA)'), 'hand': _('by hand') }[why] || why)).join(', ') || '-');
		});

		lanward.show(gate.table, gate.rows.size > 0);
		lanward.show(gate.filterRow, gate.entries.length > MOST_ROWS || wanted != '' || document.activeElement === gate.filter);
		lanward.text(gate.more, gate.unlisted || (hidden > 0
			? N_(hidden, 'And %d more that is not shown.', 'And %d more that are not shown.').format(hidden)
			: gate.rows.size > 0 ? '' : wanted != '' ? _('No address that is listed has that in it.') : _('No address is listed.')));
		lanward.show(gate.more, gate.more.textContent != '');
		gate.more.classList.toggle('lanward-wrong', gate.unlisted != '');
		this.countDown();

		return matching.length;
	},

	search(gate) {
		const count = this.showEntries(gate);

		this.enableGate(gate);
		lanward.text(gate.matches, gate.filter.value.trim() == '' ? '' : N_(count, '%d address', '%d addresses').format(count));
	},

	/* The keyboard's user goes on with the neighbour, and stays in the page. */
	dropRow(gate, address, row) {
		const neighbour = row.node.nextElementSibling || row.node.previousElementSibling;
		const focused = row.node.contains(document.activeElement);

		row.node.remove();
		gate.rows.delete(address);

		if (focused)
			((neighbour && neighbour.querySelector('button')) || (gate.open ? gate.address : gate.heading)).focus();
	},

	renderRow(gate, address) {
		const row = {};
		const slash = address.indexOf('/');
		const family = address.indexOf(':') < 0 ? 'IPv4' : slash < 0 ? 'IPv6' : _('IPv6 network (%s)').format(address.substring(slash));

		row.node = E('tr', { 'class': 'tr' }, [
			E('td', { 'class': 'td left', 'data-title': _('Address') }, [ address ]),
			E('td', { 'class': 'td left', 'data-title': _('Family') }, [ family ]),
			row.why = E('td', { 'class': 'td left', 'data-title': _('Why') }),
			row.left = E('td', { 'class': 'td left', 'data-title': _('Remaining') }),
			E('td', { 'class': 'td cbi-section-actions' }, [
				row.button = E('button', {
					'class': 'btn cbi-button cbi-button-remove',
					'type': 'button',
					'aria-label': _('Remove %s').format(address),
					'click': ev => lanward.press(ev.currentTarget, () => this.tell(gate,
						lanward.call('gate_remove', gate.name, address).then(() =>
							_('%s is no longer listed. Its running connections go on.').format(address))))
				}, [ _('Remove') ])
			])
		]);

		return row;
	},

	admitTyped(gate) {
		const address = gate.address.value.trim();

		if (address == '') {
			lanward.say(gate.said, _('Enter an IPv4 or IPv6 address.'), true);
			gate.address.focus();
			return Promise.resolve();
		}

		return this.admit(gate, address).then(done => {
			if (done)
				gate.address.value = '';
		});
	},

	/* True if the address is in the list now. */
	admit(gate, address) {
		const seconds = gate.seconds.value ? +gate.seconds.value : undefined;

		return this.tell(gate, lanward.call('gate_admit', gate.name, address, seconds).then(reply =>
			N_(lanward.number(reply.seconds), '%s is listed for %d second.', '%s is listed for %d seconds.').format(
				reply.address || address, lanward.number(reply.seconds))));
	},

	/* Asks first: what is gone from the list has to prove itself again. */
	askFlush(gate) {
		if (gate.flush.disabled || gate.flush.getAttribute('aria-busy') == 'true')
			return;

		const dialog = lanward.dialog(_('Remove all addresses from %s?').format(gate.name), [
			E('p', {}, [ _('Nobody gets in from the internet any more until they have proved themselves anew. Sessions that are running go on.') ])
		], [ [ _('Cancel'), '', () => dialog.close() ], [ _('Remove all'), 'cbi-button-negative important', () => {
			dialog.close();
			lanward.press(gate.flush, () => this.flush(gate));
		} ] ], gate.flush);
	},

	flush(gate) {
		return this.tell(gate, lanward.call('gate_flush', gate.name).then(reply => {
			const removed = lanward.number(reply.removed);

			return removed
				? N_(removed, '%d address removed.', '%d addresses removed.').format(removed)
				: _('No address was listed.');
		}));
	},

	/* Whoever knows that a knock is all is warned no more; null: is warned again. */
	acknowledge(gate, value) {
		if (this.readonly)
			return Promise.resolve();

		return lanward.save(() => uci.set('lanward', gate.name, 'knock_alone', value)).then(
			() => lanward.apply(),
			error => lanward.say(gate.said, error.message, true));
	},

	/* Says at the gate what came of a call there; true if it went well. */
	tell(gate, promise) {
		return promise.then(
			text => {
				lanward.say(gate.said, text);
				return true;
			},
			error => {
				lanward.say(gate.said, error.message, true);
				return false;
			}
		).then(done => this.refresh(true).then(() => done));
	},

	/* What may be pressed: nothing in a session that only reads, or without the daemon. */
	enableGate(gate) {
		const may = this.up && !this.readonly && !gate.lost;
		const offered = this.me != null && this.me.from == 'outside';

		lanward.text(gate.mine, offered ? _('Admit my address (%s)').format(this.me.address) : '');
		lanward.show(gate.mine, offered);
		[ gate.mine, gate.admit, gate.address, gate.seconds ].forEach(control => lanward.allow(control, may && gate.open));
		lanward.allow(gate.flush, may);
		gate.rows.forEach(row => lanward.allow(row.button, may));
	},

	/* Between two answers the remaining time goes on by this machine's clock. */
	countDown() {
		const now = Date.now();

		this.gates.forEach(gate => gate.rows.forEach(row => {
			const left = Math.max(0, Math.ceil((row.until - now) / 1000));

			lanward.text(row.left, row.until == null ? _('until removed') : left < 3600 ? _('%d s').format(left) : '%t'.format(left));
		}));

		return Promise.resolve();
	}
});
