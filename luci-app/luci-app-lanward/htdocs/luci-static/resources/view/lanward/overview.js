'use strict';
'require view';
'require poll';
'require dom';
'require tools.lanward as lanward';
'require tools.lanward.applications as applications';
'require tools.lanward.scope as scope';

/* What is shown while no application is chosen. */
const USUAL = 'chrome-remote-desktop';

/* Seconds between two looks at what switching on would end. */
const LOOK = 15;

/* Text from outside reaches the page only within arrays or as textContent: LuCI takes a bare string for markup. Save & Apply is
 * LuCI's own: it finds the form in the page. */
return view.extend({
	load() {
		return Promise.all([ this.fetch(), lanward.profiles(), lanward.hosts() ]);
	},

	/* {status, relays} or {error}; never rejects, so that the page appears whatever is the matter. */
	fetch() {
		return lanward.call('status').then(status => {
			const relays = lanward.list(status.relays);

			return (relays.length ? lanward.call('relay_list').then(reply => lanward.list(reply.relays), () => relays) : Promise.resolve(relays))
				.then(relays => ({ status: status, relays: relays }));
		}).catch(error => ({ error: error }));
	},

	render([ first, profiles, hosts ]) {
		this.readonly = !L.hasViewPermission();
		this.profiles = profiles;
		this.names = new Map();
		this.parts = {};
		this.look = 0;
		this.known = false;
		this.unable = false;
		this.undo = null;
		this.warnings = lanward.warnings();
		hosts.forEach(host => [ host.mac, ...host.addresses ].forEach(address => this.names.set(address, host.name)));

		const part = (name, tag, attributes, children) =>
			this.parts[name] = E(tag, attributes || {}, children || []);

		const page = lanward.page([
			E('h2', { 'tabindex': '-1' }, [ _('LAN-only Remote Desktop') ]),
			part('trouble', 'div', { 'class': 'alert-message error', 'role': 'alert' }),
			part('readonly', 'div', { 'class': 'alert-message notice' }, [
				_('This session may look, but not change anything.')
			]),
			part('main', 'div', {}, [
				E('div', { 'class': 'lanward-columns' }, [ this.renderSwitch(part), this.renderLimits() ]),
				part('problems', 'div', { 'class': 'cbi-section' }, [
					E('h3', {}, [ _('Problems') ]),
					part('refused', 'p', {}, [
						_('The configuration is not applied as it is written. What was applied before stays in force; after a start, whatever is in doubt is shut.')
					]),
					part('problemList', 'ul', { 'class': 'lanward-list' }),
					E('p', {}, [ lanward.link('settings', _('Mend them in Settings')) ])
				]),
				this.warnings.node,
				this.renderApplications(part)
			]),
			part('form', 'div', { 'class': 'lanward-scope' }),
			part('rest', 'div', {}, [
				this.renderFacts(part),
				E('div', { 'class': 'cbi-section' }, [
					E('h3', {}, [ _('Gates') ]),
					part('noGates', 'p', {}, [
						_('No gate is configured. A gate lets SSH answer only addresses that proved themselves a moment ago.')
					]),
					part('gates', 'ul', { 'class': 'lanward-list' }),
					E('p', {}, [ lanward.link('gate', _('SSH gate')) ])
				]),
				part('relayBox', 'div', { 'class': 'cbi-section' }, [
					E('h3', {}, [ _('Relays') ]),
					part('relays', 'ul', { 'class': 'lanward-list' }),
					E('p', {}, [ lanward.link('relay', _('Relay')) ])
				]),
				this.renderCheck(part)
			]),
			part('version', 'p', { 'class': 'lanward-fine' })
		]);

		lanward.show(this.parts.readonly, this.readonly);
		this.update(first);
		poll.add(L.bind(this.refresh, this));
		poll.add(L.bind(this.preview, this), LOOK);
		poll.add(L.bind(this.countDown, this), 1);

		return scope.form(profiles, hosts).render().then(
			node => node,
			error => E('div', { 'class': 'alert-message error', 'role': 'alert' }, [
				_('The configuration cannot be read: %s').format(lanward.reason(error))
			])
		).then(node => {
			this.parts.form.appendChild(node);
			return page;
		});
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
					'click': ev => lanward.press(ev.currentTarget, () => this.turnTo(ev.currentTarget.getAttribute('aria-checked') != 'true'))
				}, [ E('span', { 'class': 'lanward-knob', 'aria-hidden': 'true' }) ]),
				E('div', { 'class': 'lanward-says' }, [
					E('div', { 'id': 'lanward-state', 'role': 'status' }, [
						part('state', 'strong', { 'class': 'lanward-state' }),
						part('meaning', 'div', {})
					]),
					part('left', 'div', {}),
					part('toSettings', 'div', {}, [ lanward.link('settings', _('Change it in Settings')) ])
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
			E('div', { 'class': 'lanward-buttons' }, [
				part('said', 'div', { 'class': 'lanward-said', 'role': 'status' }),
				part('undo', 'button', {
					'class': 'btn cbi-button cbi-button-neutral',
					'type': 'button',
					'click': ev => lanward.press(ev.currentTarget, () => this.turnTo(!this.undo.enabled, true))
				}, [ _('Undo') ])
			]),
			part('preview', 'div', { 'class': 'lanward-preview' }, [
				part('previewCount', 'p', {}),
				part('previewBox', 'details', {}, [
					E('summary', {}, [ _('Which connections') ]),
					part('previewList', 'ul', { 'class': 'lanward-list' }),
					part('previewMore', 'p', {})
				])
			])
		]);
	},

	/* What it stops and what it does not, whatever the application. */
	renderLimits() {
		return E('div', { 'class': 'cbi-section' }, [
			E('h3', {}, [ _('What it stops') ]),
			E('ul', { 'class': 'lanward-list' }, [
				E('li', {}, [ _('Direct connections between remote desktop at home and the outside: UDP from your hosts to the internet in the ports below, over IPv4 and IPv6.') ]),
				E('li', {}, [ _('Those that are running, at once. If you are here through one of them, it ends, too.') ])
			]),
			E('h3', {}, [ _('What it does not stop') ]),
			E('ul', { 'class': 'lanward-list' }, [
				E('li', {}, [ _('The LAN, the VPN on this router, web browsing, DNS and e-mail: they go on as before.') ]),
				E('li', {}, [ _('Relays over TCP 443: many products fall back to one, and it looks like web browsing.') ]),
				E('li', {}, [ _('UDP to ports below the range, and everything else over TCP.') ]),
				E('li', {}, [ _('Ways in that you opened yourself: port forwards and rules that allow.') ]),
				E('li', {}, [ _('Malicious software that wants to get out.') ])
			])
		]);
	},

	/* The same for the applications that are chosen, and on request for every one. */
	renderApplications(part) {
		this.every = applications.all(this.profiles.applications);

		return E('div', { 'class': 'cbi-section' }, [
			E('h3', {}, [ _('By application') ]),
			part('noneChosen', 'p', {}, [
				_('No application is chosen; Chrome Remote Desktop is shown.'), ' ',
				lanward.link('settings', _('Choose yours in Settings'))
			]),
			part('chosen', 'div', {}),
			this.profiles.error
				? E('p', { 'class': 'lanward-wrong' }, [ _('What is known of the applications cannot be read: %s').format(this.profiles.error) ])
				: E('details', {}, [ E('summary', {}, [ _('Every application') ]), this.every.node ])
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
				row('level', _('Level')),
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

	/* Switches, and offers to undo it. `back`: this is the undoing. */
	turnTo(enabled, back) {
		/* A pause that switching off ended cannot be had back: switching on would be in force at once. */
		const paused = this.mode != null && this.mode.paused_seconds > 0;

		this.undo = null;
		this.showUndo();

		return this.act('lan_only', enabled, true).then(done => {
			this.undo = (done && !back && !paused) ? { enabled: enabled } : null;
			this.showUndo();

			/* Switching on again says what it ended; off, what it does not bring back. */
			if (done && back && !enabled)
				lanward.say(this.parts.said, _('Undone. Connections that were ended do not come back by themselves.'));
		});
	},

	/* Only while what was done still is. */
	showUndo() {
		const parts = this.parts;
		const may = this.undo != null && !this.readonly && this.mode != null && (this.mode.enabled == true) == this.undo.enabled;

		if (!may && document.activeElement === parts.undo)
			parts.switch.focus();

		lanward.show(parts.undo, may);
	},

	/* Switches, pauses or resumes; says what came of it; shows what the kernel has. Gives whether it was done. */
	act(method, ...args) {
		const on = method == 'lan_only' && args[0];
		const ended = reply => {
			const cut = lanward.number(reply.flows_cut);

			return cut
				? N_(cut, '%d live session ended.', '%d live sessions ended.').format(cut)
				: _('No live session had to be ended.');
		};

		return lanward.call(method, ...args).then(reply => {
			lanward.say(this.parts.said, (on && reply.enforced !== false) ? ended(reply) : '');
			return true;
		}, error => {
			lanward.say(this.parts.said, on && error.reply && error.reply.flows_cut ? '%s. %s'.format(error.message, ended(error.reply)) : error.message, true);
			return false;
		}).then(done => this.refresh().then(() => done));
	},

	refresh() {
		return lanward.newest(this, this.fetch());
	},

	update(found) {
		const parts = this.parts;
		const down = found.error != null;

		lanward.show(parts.trouble, down);

		if (down) {
			lanward.text(parts.trouble, lanward.trouble(found.error, this.known));
			this.stale(true);
			parts.switchBox.setAttribute('data-state', 'unknown');
			this.enable(false, false);
			return;
		}

		const status = found.status;
		const mode = status.lan_only || {};
		const problems = lanward.list(status.problems);

		this.mode = mode;
		this.known = true;
		this.stale(false);
		lanward.text(parts.trouble, '');

		this.showState(lanward.verdict(status), mode);
		this.showUndo();
		this.enable(true, mode.enabled == true && mode.observe != true);
		lanward.show(parts.refused, status.applied === false);
		lanward.fill(parts.problemList, problems, problem => [ E('code', {}, [ problem.option ]), ' ', problem.message ]);
		lanward.show(parts.problems, problems.length > 0);
		this.warnings.change(status);
		this.showApplications(mode);
		this.showFacts(mode);
		this.showGates(lanward.list(status.gates));
		this.showRelays(found.relays);
		lanward.text(parts.version, _('lanward %s, running for %t').format(status.version, lanward.number(status.uptime)));
	},

	/* Without the daemon there is nothing to show but what was known; the form is the configuration's and stays. */
	stale(stale) {
		[ this.parts.main, this.parts.rest ].forEach(node => {
			lanward.show(node, this.known);
			node.classList.toggle('lanward-stale', stale);
		});
	},

	showState(state, mode) {
		const parts = this.parts;
		const [ name, meaning ] = {
			'on': [ _('On'), _('Remote desktop from the LAN and the VPN only, within the limits below.') ],
			'off': [ _('Off'), _('Nothing is blocked.') ],
			'paused': [ _('Paused'), mode.out_of_hours
				? _('Nothing is blocked, nor when the pause is over: it is outside the hours that are set.')
				: _('Nothing is blocked until the pause is over. The kernel ends it by itself.') ],
			'observing': [ _('Observing'), mode.paused_seconds > 0
				? _('Nothing is blocked, and nothing is counted until the pause is over.')
				: _('What would be dropped is counted. Nothing is blocked.') ],
			'idle': [ _('On, but not at this hour'), _('Nothing is blocked now: it is outside the hours that are set. At the next hour that is, it comes into force by itself.') ],
			'bare': [ _('On, but without a device'), _('A zone has no device, so there is nothing to stop yet: see the warnings.') ],
			'lost': [ _('On, but not in force'), _('The rules in the kernel are missing or are not what they should be. The daemon puts them back; if it stays like this, look at the problems and the system log.') ]
		}[state];

		parts.switchBox.setAttribute('data-state', state);
		parts.switch.setAttribute('aria-checked', mode.enabled ? 'true' : 'false');
		lanward.text(parts.state, name);
		lanward.text(parts.meaning, meaning);
		lanward.show(parts.toSettings, state == 'idle' || state == 'observing');
		this.pausedUntil = (mode.enabled && mode.paused_seconds > 0) ? Date.now() + mode.paused_seconds * 1000 : null;

		if (!this.pausedUntil && document.activeElement === parts.resume)
			parts.switch.focus();

		lanward.show(parts.resume, this.pausedUntil != null);
		this.countDown();

		if (this.state != state) {
			this.state = state;
			lanward.show(parts.preview, false);
			this.preview();
		}
	},

	/* What switching on would end now. Nothing is said by a daemon that does not know. */
	preview() {
		const parts = this.parts;
		const state = this.state;
		const look = ++this.look;

		/* Outside the hours nothing would end, whatever runs. */
		if (this.unable || [ 'off', 'observing', 'paused' ].indexOf(state) < 0 || (state != 'observing' && this.mode.out_of_hours == true)) {
			lanward.show(parts.preview, false);
			return Promise.resolve();
		}

		return lanward.call('preview').then(reply => {
			if (look != this.look || state != this.state)
				return;

			const count = lanward.number(reply.count);
			const flows = lanward.list(reply.flows);

			lanward.text(parts.previewCount, {
				'off': count
					? N_(count, 'Turning it on now would end %d live session.', 'Turning it on now would end %d live sessions.').format(count)
					: _('Turning it on now would end no live session.'),
				'observing': count
					? N_(count, 'In force, it would end %d live session now.', 'In force, it would end %d live sessions now.').format(count)
					: _('In force, it would end no live session now.'),
				'paused': count
					? N_(count, 'Resuming now would end %d live session.', 'Resuming now would end %d live sessions.').format(count)
					: _('Resuming now would end no live session.')
			}[state]);
			parts.previewCount.classList.toggle('lanward-wrong', false);
			lanward.rows(parts.previewList, flows, flow => JSON.stringify(flow), flow => ({ node: E('li', {}, [ this.flow(flow) ]) }), () => {});
			lanward.text(parts.previewMore, count > flows.length
				? N_(count - flows.length, 'And %d more.', 'And %d more.').format(count - flows.length)
				: '');
			lanward.show(parts.previewBox, flows.length > 0);
			lanward.show(parts.preview, true);
		}, error => {
			if (look != this.look)
				return;

			this.unable = error.kind == 'absent';
			lanward.show(parts.preview, !this.unable && error.kind != 'down');
			lanward.show(parts.previewBox, false);
			lanward.text(parts.previewCount, error.message);
			parts.previewCount.classList.toggle('lanward-wrong', true);
		});
	},

	/* One connection: who to where. */
	flow(flow) {
		const source = this.host(flow.source);
		const dest = '%s:%d'.format((String(flow.dest).indexOf(':') >= 0) ? '[%s]'.format(flow.dest) : flow.dest, lanward.number(flow.dest_port));

		return (flow.direction == 'in')
			? _('%s to %s, opened from outside').format(source, dest)
			: _('%s to %s').format(source, dest);
	},

	/* A host's name with its address, as far as it is known. */
	host(address) {
		const name = this.names.get(String(address).toLowerCase());

		return name ? '%s (%s)'.format(name, address) : String(address);
	},

	/* What may be pressed: nothing in a session that only reads, or without the daemon. */
	enable(up, on) {
		const parts = this.parts;

		[ parts.switch, parts.undo, parts.resume ].forEach(button => lanward.allow(button, up && !this.readonly));
		lanward.allow(parts.check, up);
		this.pauses.forEach(button => lanward.allow(button, up && on && !this.readonly));
	},

	/* The chosen applications' limits at the present level; made anew only when others are chosen. */
	showApplications(mode) {
		const wanted = lanward.list(mode.profiles);
		const chosen = this.profiles.applications.filter(application => (wanted.length ? wanted : [ USUAL ]).indexOf(application.id) >= 0);

		lanward.rows(this.parts.chosen, chosen, application => application.id, application => applications.block(application), row => row.change(mode.level));
		lanward.show(this.parts.noneChosen, wanted.length == 0 && chosen.length > 0);
		this.every.change(mode.level);
	},

	showFacts(mode) {
		const parts = this.parts;
		const join = (value, none) => lanward.list(value).join(', ') || none;
		const seen = mode.observe == true;

		lanward.text(this.labels.outbound, seen ? _('Would be dropped outbound') : _('Dropped outbound'));
		lanward.text(this.labels.inbound, seen ? _('Would be dropped inbound') : _('Dropped inbound'));
		lanward.text(parts.level, String(scope.levels()[mode.level] || mode.level || ''));
		lanward.text(parts.ports, join(mode.ports, _('none')));
		lanward.text(parts.hosts, join(lanward.list(mode.hosts).map(host => this.host(host)), _('all in the zone')));
		lanward.text(parts.sources, join(mode.source_devices, _('no device')));
		lanward.text(parts.dests, join(mode.dest_devices, _('no device')));
		lanward.text(parts.outbound, _('%d packets, %1024.1mB').format(lanward.number(mode.dropped_packets), lanward.number(mode.dropped_bytes)));
		lanward.text(parts.inbound, _('%d packets').format(lanward.number(mode.inbound_dropped_packets)));
		lanward.text(parts.cut, '%d'.format(lanward.number(mode.flows_cut)));
	},

	/* One line each; everything else about them is on their own page. */
	showGates(gates) {
		lanward.show(this.parts.noGates, gates.length == 0);
		lanward.rows(this.parts.gates, gates, gate => String(gate.name), gate => {
			const facts = E('span', {});

			return { node: E('li', {}, [ E('strong', {}, [ gate.name ]), ': ', facts ]), facts: facts };
		}, (row, gate) => {
			const entries = lanward.number(gate.entries);

			lanward.text(row.facts, '%s, %s'.format(
				!gate.enabled ? _('not enabled') : gate.shut ? _('shut') : _('enabled'),
				N_(entries, '%d address listed', '%d addresses listed').format(entries)));
		});
	},

	/* What is reachable from outside, and by which relay. */
	showRelays(relays) {
		lanward.show(this.parts.relayBox, relays.length > 0);
		lanward.fill(this.parts.relays, relays.map(relay => [ relay.name, relay.state == 'up' && relay.host != null
			? _('reachable from outside: %s').format(lanward.relayWay(relay))
			: [ lanward.relayState(relay), relay.error ].filter(words => words).join(': ') ]), ([ name, words ]) => [ E('strong', {}, [ name ]), ': ', words ]);
	},

	/* Between two answers the remaining time goes on by this machine's clock. */
	countDown() {
		if (!this.pausedUntil) {
			lanward.text(this.parts.left, '');
			return Promise.resolve();
		}

		const left = Math.max(0, Math.ceil((this.pausedUntil - Date.now()) / 1000));
		const minutes = Math.ceil(left / 60);

		lanward.text(this.parts.left, left > 60
			? N_(minutes, '%d minute left', '%d minutes left').format(minutes)
			: N_(left, '%d second left', '%d seconds left').format(left));

		return Promise.resolve();
	}
});
