'use strict';
'require view';
'require poll';
'require dom';
'require tools.lanward as lanward';

/* Rows of a list beyond these are counted, not shown. */
const MOST_ROWS = 200;

/* Text from outside reaches the page only within arrays or as textContent: LuCI takes a bare string for markup. */
return view.extend({
	handleSaveApply: null,
	handleSave: null,
	handleReset: null,

	load() {
		return this.fetch();
	},

	/* {status, entries, unlisted} or {error}; never rejects, so that the page appears whatever is the matter. */
	fetch() {
		return lanward.call('status').then(status => {
			const gates = lanward.list(status.gates);

			if (!gates.some(gate => gate.entries > 0))
				return { status: status, entries: [] };

			return lanward.call('gate_list').then(
				reply => ({ status: status, entries: lanward.list(reply.entries) }),
				error => ({ status: status, entries: [], unlisted: error }));
		}).catch(error => ({ error: error }));
	},

	render(first) {
		this.readonly = !L.hasViewPermission();
		this.gates = new Map();
		this.parts = {};
		this.turn = 0;
		this.made = 0;
		this.known = false;

		const part = (name, tag, attributes, children) =>
			this.parts[name] = E(tag, attributes || {}, children || []);

		const page = lanward.page([
			E('h2', {}, [ _('LAN-only Remote Desktop') ]),
			part('trouble', 'div', { 'class': 'alert-message error', 'role': 'alert' }),
			part('readonly', 'div', { 'class': 'alert-message notice' }, [
				_('This session may look, but not change anything.')
			]),
			part('main', 'div', {}, [
				this.renderSwitch(part),
				part('problems', 'div', { 'class': 'cbi-section' }, [
					E('h3', {}, [ _('Problems') ]),
					part('refused', 'p', {}, [
						_('The configuration is not applied as it is written. What was applied before stays in force; after a start, whatever is in doubt is shut.')
					]),
					part('problemList', 'ul', { 'class': 'lanward-list' })
				]),
				part('warnings', 'div', { 'class': 'cbi-section' }, [
					E('h3', {}, [ _('Warnings') ]),
					part('warningList', 'ul', { 'class': 'lanward-list' })
				]),
				this.renderFacts(part),
				E('div', { 'class': 'cbi-section' }, [
					E('h3', {}, [ _('Gates') ]),
					part('noGates', 'p', {}, [
						_('No gate is configured. A gate lets SSH answer only addresses that proved themselves a moment ago; it is set up in %s.').format('/etc/config/lanward')
					]),
					part('gates', 'div', {})
				]),
				this.renderCheck(part)
			]),
			part('version', 'p', { 'class': 'lanward-version' })
		]);

		lanward.show(this.parts.readonly, this.readonly);
		this.update(first);
		poll.add(L.bind(this.refresh, this));
		poll.add(L.bind(this.countDown, this), 1);

		return page;
	},

	renderSwitch(part) {
		const pause = (minutes, label) => E('button', {
			'class': 'btn cbi-button cbi-button-neutral',
			'type': 'button',
			'click': ev => lanward.press(ev.currentTarget, () => this.act('pause', minutes))
		}, [ label ]);

		this.pauses = [
			pause(15, _('15 minutes')),
			pause(60, _('1 hour')),
			pause(240, _('4 hours'))
		];

		return part('switchBox', 'div', { 'class': 'cbi-section lanward-box' }, [
			E('div', { 'class': 'lanward-row' }, [
				part('switch', 'button', {
					'class': 'lanward-switch',
					'type': 'button',
					'role': 'switch',
					'aria-checked': 'false',
					'aria-label': _('LAN-only Remote Desktop'),
					'aria-describedby': 'lanward-state',
					'click': ev => lanward.press(ev.currentTarget, () =>
						this.act('lan_only', ev.currentTarget.getAttribute('aria-checked') != 'true', true))
				}, [ E('span', { 'class': 'lanward-knob', 'aria-hidden': 'true' }) ]),
				E('div', { 'class': 'lanward-says' }, [
					E('div', { 'id': 'lanward-state', 'role': 'status' }, [
						part('state', 'strong', { 'class': 'lanward-state' }),
						part('meaning', 'div', {})
					]),
					part('left', 'div', {})
				])
			]),
			E('div', { 'class': 'lanward-buttons', 'role': 'group', 'aria-labelledby': 'lanward-pause' }, [
				E('span', { 'id': 'lanward-pause' }, [ _('Pause for') ]),
				...this.pauses,
				part('resume', 'button', {
					'class': 'btn cbi-button cbi-button-action important',
					'type': 'button',
					'click': ev => lanward.press(ev.currentTarget, () => this.act('resume'))
				}, [ _('Resume now') ])
			]),
			part('said', 'div', { 'class': 'lanward-said', 'role': 'status' }),
			E('div', { 'class': 'lanward-columns' }, [
				E('div', {}, [
					E('h4', {}, [ _('What it does') ]),
					E('ul', { 'class': 'lanward-list' }, [
						E('li', {}, [ _('Drops UDP from your hosts to the internet in the ports below, over IPv4 and IPv6: direct remote desktop connections with the outside need it.') ]),
						E('li', {}, [ _('Ends such connections that are running, at once. If you are here through one of them, it ends, too.') ]),
						E('li', {}, [ _('Leaves the LAN and the VPN on this router, web browsing, DNS and e-mail as they are.') ]),
						E('li', {}, [ _('A wider range breaks more: video calls, games, VPN clients on your hosts.') ])
					])
				]),
				E('div', {}, [
					E('h4', {}, [ _('What it does not stop') ]),
					E('ul', { 'class': 'lanward-list' }, [
						E('li', {}, [ _('Relays over TCP 443: many products fall back to one, and it looks like web browsing.') ]),
						E('li', {}, [ _('UDP to ports below the range, and everything else over TCP.') ]),
						E('li', {}, [ _('Ways in that you opened yourself: port forwards and rules that allow.') ]),
						E('li', {}, [ _('An attempt from outside that fails may still cut a running Chrome Remote Desktop session in the LAN.') ]),
						E('li', {}, [ _('Malicious software that wants to get out.') ])
					])
				])
			])
		]);
	},

	renderFacts(part) {
		this.labels = {};

		const row = (name, label) => E('tr', { 'class': 'tr' }, [
			E('th', { 'class': 'td left', 'width': '40%', 'scope': 'row' }, [ this.labels[name] = E('span', {}, [ label ]) ]),
			part(name, 'td', { 'class': 'td left' })
		]);

		return E('div', { 'class': 'cbi-section' }, [
			E('h3', {}, [ _('Rules and counters') ]),
			E('table', { 'class': 'table lanward-facts' }, [
				row('ports', _('UDP ports')),
				row('hosts', _('Hosts')),
				row('sources', _('From devices')),
				row('dests', _('To devices')),
				row('outbound', _('Dropped outbound')),
				row('inbound', _('Dropped inbound')),
				row('cut', _('Connections ended'))
			])
		]);
	},

	renderCheck(part) {
		return E('div', { 'class': 'cbi-section' }, [
			E('h3', {}, [ _('Diagnosis') ]),
			E('p', {}, [ _('Looks for what on this router contradicts the restriction: port forwards, UPnP, rules of others, the clock.') ]),
			part('check', 'button', {
				'class': 'btn cbi-button cbi-button-action',
				'type': 'button',
				'click': ev => lanward.press(ev.currentTarget, () => lanward.call('check').then(
					reply => this.showChecks(lanward.list(reply.checks)),
					error => lanward.say(this.parts.checkSaid, error.message, true)))
			}, [ _('Check this router') ]),
			part('checkSaid', 'div', { 'class': 'lanward-said', 'role': 'status' }),
			part('checks', 'ul', { 'class': 'lanward-list' })
		]);
	},

	showChecks(checks) {
		const words = { 'error': _('Error'), 'warning': _('Warning') };
		const found = checks.filter(check => !check.ok);
		const rank = check => [ 'error', 'warning' ].indexOf(check.severity) + 1 || 3;

		found.sort((a, b) => rank(a) - rank(b));
		lanward.say(this.parts.checkSaid, found.length
			? N_(found.length, '%d thing to look at.', '%d things to look at.').format(found.length)
			: _('Nothing was found.'));
		dom.content(this.parts.checks, found.map(check => E('li', {}, [
			E('strong', {}, [ words[check.severity] || _('Note') ]), ' ',
			E('code', {}, [ check.name ]), ' ', check.message
		])));
	},

	/* Turns, pauses or resumes; says what came of it; shows what the kernel has. */
	act(method, ...args) {
		return lanward.call(method, ...args).then(reply => {
			const cut = lanward.number(reply.flows_cut);

			if (method == 'lan_only' && args[0])
				lanward.say(this.parts.said, cut
					? N_(cut, '%d running connection ended.', '%d running connections ended.').format(cut)
					: _('No running connection had to be ended.'));
			else
				lanward.say(this.parts.said, '');
		}, error => {
			lanward.say(this.parts.said, error.message, true);
		}).then(() => this.refresh());
	},

	refresh() {
		const turn = ++this.turn;

		return this.fetch().then(found => {
			/* An older answer that comes later tells less. */
			if (turn == this.turn)
				this.update(found);
		});
	},

	update(found) {
		const parts = this.parts;
		const down = found.error != null;

		lanward.show(parts.trouble, down);

		if (down) {
			lanward.text(parts.trouble, [
				found.error.message,
				found.error.kind == 'down' ? _('Rules that it has put into the kernel stay in force without it.') : '',
				this.known ? _('What is shown below is what was known last.') : ''
			].join(' ').trim());
			lanward.show(parts.main, this.known);
			parts.main.classList.toggle('lanward-stale', true);
			parts.switchBox.setAttribute('data-state', 'unknown');
			this.enable(false, false);
			return;
		}

		const status = found.status;
		const mode = status.lan_only || {};
		const state = lanward.verdict(status);

		this.known = true;
		lanward.show(parts.main, true);
		parts.main.classList.toggle('lanward-stale', false);
		lanward.text(parts.trouble, '');

		this.showState(state, mode);
		this.enable(true, mode.enabled == true);
		lanward.show(parts.refused, status.applied === false);
		lanward.fill(parts.problemList, lanward.list(status.problems), problem => [ E('code', {}, [ problem.option ]), ' ', problem.message ]);
		lanward.show(parts.problems, lanward.list(status.problems).length > 0);
		lanward.fill(parts.warningList, lanward.list(status.warnings), warning => [ warning ]);
		lanward.show(parts.warnings, lanward.list(status.warnings).length > 0);
		this.showFacts(mode);
		this.showGates(lanward.list(status.gates), found);
		lanward.text(parts.version, _('lanward %s, running for %t').format(status.version, lanward.number(status.uptime)));
	},

	showState(state, mode) {
		const parts = this.parts;
		const [ name, meaning ] = {
			'on': [ _('On'), _('Remote desktop from the LAN and the VPN only, within the limits below.') ],
			'off': [ _('Off'), _('Nothing is blocked.') ],
			'paused': [ _('Paused'), _('Nothing is blocked until the pause is over. The kernel ends it by itself.') ],
			'observing': [ _('Observing'), _('What would be dropped is counted. Nothing is blocked.') ],
			'idle': [ _('On, but not in force now'), _('Nothing is blocked at this time. That is right outside the hours that are set.') ],
			'lost': [ _('On, but not in force'), _('The rules in the kernel are missing or are not what they should be. The daemon puts them back; if it stays like this, look at the problems and the system log.') ]
		}[state];

		parts.switchBox.setAttribute('data-state', state);
		parts.switch.setAttribute('aria-checked', mode.enabled ? 'true' : 'false');
		lanward.text(parts.state, name);
		lanward.text(parts.meaning, meaning);
		this.pausedUntil = (state == 'paused') ? Date.now() + mode.paused_seconds * 1000 : null;

		if (!this.pausedUntil && document.activeElement === parts.resume)
			parts.switch.focus();

		lanward.show(parts.resume, this.pausedUntil != null);
		this.countDown();
	},

	/* What may be pressed: nothing in a session that only reads, or without the daemon. */
	enable(up, on) {
		const parts = this.parts;

		parts.switch.disabled = this.readonly || !up;
		parts.resume.disabled = this.readonly || !up;
		parts.check.disabled = !up;
		this.pauses.forEach(button => { button.disabled = this.readonly || !up || !on });
		this.gates.forEach(gate => this.enableGate(gate, up));
	},

	showFacts(mode) {
		const parts = this.parts;
		const join = (value, none) => lanward.list(value).join(', ') || none;
		const seen = mode.observe == true;

		lanward.text(this.labels.outbound, seen ? _('Would be dropped outbound') : _('Dropped outbound'));
		lanward.text(this.labels.inbound, seen ? _('Would be dropped inbound') : _('Dropped inbound'));
		lanward.text(parts.ports, join(mode.ports, _('none')) + (mode.level ? ' (%s)'.format(mode.level) : ''));
		lanward.text(parts.hosts, join(mode.hosts, _('all in the zone')));
		lanward.text(parts.sources, join(mode.source_devices, _('no device')));
		lanward.text(parts.dests, join(mode.dest_devices, _('no device')));
		lanward.text(parts.outbound, _('%d packets, %1024.1mB').format(lanward.number(mode.dropped_packets), lanward.number(mode.dropped_bytes)));
		lanward.text(parts.inbound, _('%d packets').format(lanward.number(mode.inbound_dropped_packets)));
		lanward.text(parts.cut, '%d'.format(lanward.number(mode.flows_cut)));
	},

	showGates(gates, found) {
		const names = gates.map(gate => gate.name);

		lanward.show(this.parts.noGates, gates.length == 0);

		this.gates.forEach((known, name) => {
			if (names.indexOf(name) < 0) {
				known.node.remove();
				this.gates.delete(name);
			}
		});

		gates.forEach((gate, at) => {
			let known = this.gates.get(gate.name);

			if (!known) {
				known = this.renderGate(gate.name);
				this.gates.set(gate.name, known);
			}

			if (this.parts.gates.children[at] !== known.node)
				this.parts.gates.insertBefore(known.node, this.parts.gates.children[at] || null);

			this.showGate(known, gate, found);
		});
	},

	renderGate(name) {
		const id = 'lanward-gate-%d'.format(++this.made);
		const gate = { name: name, rows: new Map() };
		const choice = (seconds, label) => E('option', { 'value': seconds }, [ label ]);

		gate.node = E('div', { 'class': 'lanward-gate', 'role': 'group', 'aria-labelledby': id }, [
			E('h4', { 'id': id }, [ name, ' ', gate.badge = E('span', { 'class': 'label' }) ]),
			gate.facts = E('p', {}),
			gate.table = E('table', { 'class': 'table', 'aria-labelledby': id }, [
				E('tr', { 'class': 'tr table-titles' }, [
					E('th', { 'class': 'th left', 'scope': 'col' }, [ _('Address') ]),
					E('th', { 'class': 'th left', 'scope': 'col' }, [ _('Remaining') ]),
					E('th', { 'class': 'th cbi-section-actions' })
				])
			]),
			gate.more = E('p', {}),
			E('form', {
				'class': 'lanward-buttons',
				'submit': ev => {
					ev.preventDefault();
					return lanward.press(gate.admit, () => this.admit(gate));
				}
			}, [
				E('label', { 'for': id + '-address' }, [ _('Admit an address') ]),
				gate.address = E('input', {
					'id': id + '-address',
					'class': 'cbi-input-text',
					'type': 'text',
					'autocomplete': 'off',
					'autocapitalize': 'none',
					'spellcheck': 'false',
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
			gate.said = E('div', { 'class': 'lanward-said', 'role': 'status' })
		]);

		return gate;
	},

	showGate(known, gate, found) {
		const entries = found.entries.filter(entry => entry.gate === gate.name);
		const off = !gate.enabled;

		known.open = !off && !gate.shut;
		lanward.text(known.badge, off ? _('not enabled') : gate.shut ? _('shut') : _('enabled'));
		lanward.text(known.facts, [
			gate.shut ? _('Its configuration is wrong: nobody gets in.') : '',
			_('Guards %s.').format(lanward.list(gate.services).join(', ') || '-'),
			lanward.list(gate.witnesses).length ? _('Opened by %s.').format(gate.witnesses.join(', ')) : '',
			_('%d of %d listed; %d admitted, %d packets refused.').format(...[ gate.entries, gate.size, gate.admitted, gate.refused ].map(lanward.number)),
			gate.overflow > 0 ? N_(gate.overflow, '%d was turned away because the list was full.', '%d were turned away because the list was full.').format(gate.overflow) : ''
		].filter(sentence => sentence != '').join(' '));
		lanward.text(known.asSeen, _('as if just seen (%d s)').format(lanward.number(gate.window)));

		if (found.unlisted) {
			lanward.text(known.more, found.unlisted.message);
		}
		else {
			const hidden = entries.length - MOST_ROWS;

			lanward.text(known.more, hidden > 0
				? N_(hidden, 'And %d more; "lanward gate list" shows all.', 'And %d more; "lanward gate list" shows all.').format(hidden)
				: entries.length ? '' : _('No address is listed.'));
			this.showEntries(known, entries.slice(0, MOST_ROWS));
		}

		lanward.show(known.more, known.more.textContent != '');
		lanward.show(known.table, known.rows.size > 0);
		this.enableGate(known, true);
	},

	showEntries(gate, entries) {
		const now = Date.now();
		const listed = entries.map(entry => entry.address);

		gate.rows.forEach((row, address) => {
			if (listed.indexOf(address) >= 0)
				return;

			/* Do not drop the keyboard's user out of the page with the row. */
			if (row.node.contains(document.activeElement))
				gate.address.focus();

			row.node.remove();
			gate.rows.delete(address);
		});

		entries.forEach(entry => {
			let row = gate.rows.get(entry.address);

			if (!row) {
				row = this.renderRow(gate, entry.address);
				gate.rows.set(entry.address, row);
				gate.table.appendChild(row.node);
			}

			row.until = (typeof(entry.expires) == 'number') ? now + entry.expires * 1000 : null;
		});

		this.countDown();
	},

	renderRow(gate, address) {
		const row = {};

		row.node = E('tr', { 'class': 'tr' }, [
			E('td', { 'class': 'td left', 'data-title': _('Address') }, [ address ]),
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

	admit(gate) {
		const address = gate.address.value.trim();
		const seconds = gate.seconds.value ? +gate.seconds.value : undefined;

		if (address == '') {
			lanward.say(gate.said, _('Enter an IPv4 or IPv6 address.'), true);
			gate.address.focus();
			return Promise.resolve();
		}

		return this.tell(gate, lanward.call('gate_admit', gate.name, address, seconds).then(reply => {
			gate.address.value = '';
			return _('%s is listed for %d seconds.').format(reply.address, lanward.number(reply.seconds));
		}));
	},

	/* Says at the gate what came of a call there. */
	tell(gate, promise) {
		return promise.then(
			text => lanward.say(gate.said, text),
			error => lanward.say(gate.said, error.message, true)
		).then(() => this.refresh());
	},

	enableGate(gate, up) {
		const may = up && !this.readonly;

		gate.admit.disabled = gate.address.disabled = gate.seconds.disabled = !may || !gate.open;
		gate.rows.forEach(row => { row.button.disabled = !may });
	},

	/* Between two answers the remaining time goes on by this machine's clock. */
	countDown() {
		const now = Date.now();
		const seconds = until => Math.max(0, Math.ceil((until - now) / 1000));

		if (this.pausedUntil) {
			const left = seconds(this.pausedUntil);
			const minutes = Math.ceil(left / 60);

			lanward.text(this.parts.left, left > 60
				? N_(minutes, '%d minute left', '%d minutes left').format(minutes)
				: N_(left, '%d second left', '%d seconds left').format(left));
		}
		else {
			lanward.text(this.parts.left, '');
		}

		this.gates.forEach(gate => gate.rows.forEach(row => lanward.text(row.left,
			row.until == null ? _('until removed') : _('%d s').format(seconds(row.until)))));

		return Promise.resolve();
	}
});
