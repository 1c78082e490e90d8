'use strict';
'require view';
'require poll';
'require uci';
'require tools.lanward as lanward';
'require tools.lanward.values as values';

/* What the relay's own administrator types to see its host key: the kinds that both servers have. */
const kindOf = key => key.indexOf('ecdsa') == 0 ? 'ecdsa' : key.indexOf('ssh-rsa') == 0 ? 'rsa' : 'ed25519';
const asked = key => [ 'ssh-keygen -lf /etc/ssh/ssh_host_%s_key.pub', 'dropbearkey -y -f /etc/dropbear/dropbear_%s_host_key' ]
	.map(command => command.format(kindOf(key)));

const type = 'application/octet-stream';
const LF = String.fromCharCode(10);

/* Text from outside reaches the page only within arrays or as textContent: LuCI takes a bare string for markup. */
return view.extend({
	handleSaveApply: null,
	handleSave: null,
	handleReset: null,

	load() {
		return Promise.resolve(uci.load('lanward')).catch(() => null).then(() => this.fetch());
	},

	/* {status, relays} or {error}; never rejects, so that the page appears whatever is the matter. */
	fetch() {
		return Promise.all([ lanward.call('status'), lanward.call('relay_list') ]).then(
			([ status, reply ]) => ({ status: status, relays: lanward.list(reply.relays) }),
			error => ({ error: error }));
	},

	render(first) {
		this.readonly = !L.hasViewPermission();
		this.relays = new Map();
		this.parts = {};
		this.made = 0;
		this.known = false;
		this.up = false;

		const part = (name, tag, attributes, children) =>
			this.parts[name] = E(tag, attributes || {}, children || []);

		const page = lanward.page([
			E('h2', { 'tabindex': '-1' }, [ _('Relay') ]),
			part('trouble', 'div', { 'class': 'alert-message error', 'role': 'alert' }),
			part('readonly', 'div', { 'class': 'alert-message notice' }, [
				_('This session may look, but not change anything.')
			]),
			E('p', {}, [
				_('A relay is a server of yours outside to which this router holds an SSH tunnel. Whoever may log in there reaches one host and port at home, from anywhere, whatever the internet provider does.')
			]),
			E('p', {}, [
				_('It is a way in from outside. What protects it is the relay\'s own SSH login, and behind that the login of the host it leads to: keys only, no passwords, an account without any other use.')
			]),
			part('main', 'div', {}, [
				part('none', 'div', { 'class': 'cbi-section' }, [
					E('h3', {}, [ _('There is no relay yet') ]),
					E('ol', { 'class': 'lanward-list' }, [
						E('li', {}, [ _('You need a server on the internet with an SSH server, and an account on it for this alone.') ]),
						E('li', {}, [ _('Add a relay in the settings: the server, the account, the port that is opened there, and where it leads, such as 192.168.1.20:3389.') ]),
						E('li', {}, [ _('Then this page makes the key, has the lines for the server, and shows the server\'s host key to be compared.') ])
					]),
					E('p', {}, [ lanward.link('settings', _('Add a relay in the settings')) ])
				]),
				part('relays', 'div', {})
			])
		]);

		lanward.show(this.parts.readonly, this.readonly);
		this.update(first);
		poll.add(L.bind(this.refresh, this));

		return page;
	},

	refresh() {
		return lanward.newest(this, this.fetch());
	},

	update(found) {
		const parts = this.parts;

		if (!lanward.answered(this, found, _('Without it no relay leads in.'))) {
			this.relays.forEach(relay => this.enable(relay));
			return;
		}

		const relays = found.relays.map(relay => Object.assign({}, relay, { name: String(relay.name) }));

		/* What was saved and is not in force is there, too. */
		uci.sections('lanward', 'relay').forEach(section => {
			if (!section['.anonymous'] && !relays.some(relay => relay.name == section['.name']))
				relays.push({ name: section['.name'] });
		});

		this.relays = lanward.rows(parts.relays, relays, relay => relay.name, relay => this.renderRelay(relay.name),
			(known, relay) => this.showRelay(known, relay, lanward.list(found.status.problems)));
		lanward.show(parts.none, relays.length == 0);
	},

	renderRelay(name) {
		const id = 'lanward-relay-%d'.format(++this.made);
		const relay = { name: name, facts: {}, lines: {} };
		const fact = (key, label) => lanward.fact(label, relay.facts[key] = E('td', { 'class': 'td left' }));
		const button = (key, kind, label, pressed) => relay[key] = E('button', {
			'class': 'btn cbi-button ' + kind,
			'type': 'button',
			'click': ev => pressed(ev.currentTarget)
		}, [ label ]);
		const call = action => pressed => pressed.getAttribute('aria-disabled') == 'true' ? null : lanward.press(pressed, action);

		/* Lines to copy, and as a file where they are one. */
		const lines = (key, label, file, about) => {
			const made = lanward.lines(label, words => lanward.say(relay.filesSaid, words));
			const keep = E('button', {
				'class': 'btn cbi-button cbi-button-neutral lanward-look',
				'type': 'button',
				'aria-label': _('Download: %s').format(label),
				/* Windows wants its own ends of lines. */
				'click': () => lanward.download(file, key == 'rdp' ? made.field.value.split(LF).join(String.fromCharCode(13, 10)) : made.field.value, type)
			}, [ _('Download') ]);

			relay.lines[key] = made;
			made.field.classList.add('lanward-look');
			made.copy.classList.add('lanward-look');
			made.copy.setAttribute('aria-label', _('Copy: %s').format(label));

			return made.node = E('div', {}, [
				E('h5', {}, [ label ]),
				...(about ? [ E('p', {}, [ about ]) ] : []),
				made.field,
				E('div', { 'class': 'lanward-buttons' }, [ made.copy, ...(file ? [ keep ] : []) ])
			]);
		};

		relay.node = E('div', { 'class': 'cbi-section lanward-gate', 'role': 'group', 'aria-labelledby': id }, [
			E('h3', { 'id': id }, [ name, ' ', relay.badge = E('span', { 'class': 'label lanward-badge' }) ]),
			relay.meaning = E('p', { 'role': 'status' }),
			relay.problems = E('ul', { 'class': 'lanward-list' }),
			relay.box = E('div', { 'class': 'alert-message' }, [
				relay.boxSays = E('p', {}),
				relay.prints = E('ul', { 'class': 'lanward-list' }),
				E('p', {}, [ _('To compare, read the fingerprint on the relay itself, at its own console and not by this line: with OpenSSH the first, with dropbear the second.') ]),
				E('div', { 'class': 'lanward-panel' }, [ relay.commands = E('pre', {}) ]),
				button('confirm', 'cbi-button-action', _('Confirm this key'), () => this.askConfirm(relay))
			]),
			E('table', { 'class': 'table lanward-facts' }, [
				fact('way', _('Reachable from outside')),
				fact('since', _('Since')),
				fact('error', _('Last error')),
				fact('check', _('Last check')),
				fact('fingerprint', _('Host key of the relay')),
				fact('client', _('SSH client')),
				fact('script', _('Script on the relay')),
				fact('starts', _('Sessions so far')),
				fact('key', _('Router\'s key'))
			]),
			E('div', { 'class': 'lanward-buttons' }, [
				button('check', 'cbi-button-action', _('Test it now'), call(() => this.tell(relay, lanward.call('relay_check', name).then(reply =>
					_('It works: %d ms from here over the relay, back through the tunnel, and to the target.').format(lanward.number(reply.latency_ms)))))),
				button('restart', 'cbi-button-neutral', _('Start it over'), call(() => this.tell(relay, lanward.call('relay_restart', name).then(() =>
					_('It starts over.'))))),
				button('keygen', 'cbi-button-add', _('Make the router\'s key'), call(() => this.makeKey(relay)))
			]),
			relay.said = E('div', { 'class': 'lanward-said', 'role': 'status' }),
			relay.details = E('details', { 'toggle': () => this.fetchFiles(relay) }, [
				E('summary', {}, [ _('What the relay and the clients need') ]),
				E('div', {}, [
					relay.filesSaid = E('div', { 'class': 'lanward-said', 'role': 'status' }),
					E('h4', {}, [ _('On the relay') ]),
					relay.noKey = E('p', {}, [ _('The router has no key for it yet: make it first.') ]),
					lines('public_key', _('The router\'s public key'), ''),
					lines('script', _('The script'), 'lanward-relay', _('Put it into the home directory of the account as lanward-relay and make it executable (chmod 700). It ends what a dead session leaves behind, and nothing else.')),
					lines('authorized_keys', _('Line for authorized_keys, OpenSSH'), '', _('Append it to ~/.ssh/authorized_keys of the account. The key can then do nothing but hold this tunnel.')),
					lines('authorized_keys_dropbear', _('Line for authorized_keys, dropbear'), '', _('The same where the relay\'s SSH server is dropbear.')),
					lines('server_settings', _('Settings of the SSH server'), '', _('Good to have where you may change them: by these it notices dead sessions by itself.')),
					E('h4', {}, [ _('On a client') ]),
					E('p', {}, [ _('Each client gets a key of its own, with a passphrase. Its public key goes into authorized_keys on the relay as well.') ]),
					lines('authorized_keys_client', _('Line for authorized_keys, for a client\'s key'), ''),
					lines('command', _('The command'), '%s.sh'.format(name)),
					lines('ssh_config', _('Block for ~/.ssh/config'), '%s.conf'.format(name)),
					lines('rdp', _('File for Remote Desktop'), '%s.rdp'.format(name), _('Open it while the command runs.'))
				])
			])
		]);

		return relay;
	},

	/* What a relay is, in words; what the daemon does not say is not shown. */
	showRelay(known, relay, problems) {
		const { facts } = known;
		const state = relay.state;
		const number = key => lanward.number(relay[key]);
		const word = key => relay[key] == null ? '' : String(relay[key]);
		const fact = (key, text) => {
			lanward.text(facts[key], text);
			lanward.show(facts[key].parentNode, text != '');
		};
		const wrong = problems.filter(problem => String(problem.option).split('.')[1] == relay.name)
			.map(problem => [ String(problem.option), String(problem.message) ]);

		known.relay = relay;
		known.node.setAttribute('data-state', { 'up': 'on', 'failed': 'shut' }[state] || 'off');
		lanward.text(known.badge, state == null ? _('not in force') : lanward.relayState(relay));
		lanward.text(known.meaning, {
			'idle': _('It is not enabled in the settings: nothing leads in by it.'),
			'starting': _('It logs in to the relay and asks for its port there.'),
			'up': _('The tunnel is up: whoever may log in to the relay gets as far as the target.'),
			'backoff': _('The tunnel is down, and nothing leads in. It is tried again by itself, at once when the line is back.'),
			'failed': _('It has stopped, for time alone does not mend what is wrong. Mend it, then start it over.')
		}[state] || (state == null ? _('It is not applied yet, or wrong in the settings.') : ''));
		lanward.fill(known.problems, wrong, ([ option, message ]) => [ E('code', {}, [ option ]), ' ', message ]);
		lanward.show(known.problems, wrong.length > 0);

		const way = relay.host == null ? '' : lanward.relayWay(relay);

		fact('way', way && (state == 'up' ? way : _('not now (%s)').format(way)));
		fact('since', number('since') ? lanward.when(relay.since) : '');
		fact('error', word('error'));
		fact('check', !number('last_check') ? '' : relay.latency_ms == null ? lanward.when(relay.last_check)
			: _('%s, %d ms').format(lanward.when(relay.last_check), number('latency_ms')));
		fact('fingerprint', word('fingerprint') || word('host_key') || (state == null ? '' : _('not confirmed yet')));
		fact('client', word('client'));
		fact('script', relay.script == null ? '' : relay.script ? _('there')
			: _('not there: what a dead session leaves behind can hold the port until the relay notices'));
		fact('starts', number('starts') ? '%d'.format(number('starts')) : '');
		/* That there is none yet, or what is wrong with it. */
		fact('key', word('key_error'));

		this.showHostKey(known, relay);
		this.showFiles(known);
		this.enable(known);
	},

	/* A first key is to be confirmed; another one than the confirmed is an alarm. */
	showHostKey(known, relay) {
		const offered = relay.offered_key == null ? '' : String(relay.offered_key);
		const changed = relay.host_key != null;

		known.box.classList.toggle('error', changed);
		known.box.classList.toggle('warning', !changed);

		/* Said by the state's line, too; an alarm interrupts. */
		if (offered && changed)
			known.box.setAttribute('role', 'alert');
		else
			known.box.removeAttribute('role');

		lanward.text(known.boxSays, changed
			? _('The relay shows another host key than the one that was confirmed. Either it was set up anew, or somebody stands in between. Nothing goes over it until that is settled.')
			: _('The relay has shown its host key for the first time. Nothing goes over it until somebody has compared that key and confirmed it.'));
		lanward.fill(known.prints, [ ...(changed ? [ [ _('Confirmed:'), String(relay.fingerprint) ] ] : []), [ _('Shown now:'), String(relay.offered_fingerprint) ] ],
			([ label, print ]) => [ label, ' ', E('code', {}, [ print ]) ]);
		lanward.text(known.commands, asked(offered).join(LF));
		lanward.show(known.box, offered != '');
	},

	/* Asks about the key as it was when it was asked for: another one may be shown meanwhile. */
	askConfirm(known) {
		if (known.confirm.getAttribute('aria-disabled') == 'true')
			return;

		const { name, relay } = known;
		const changed = relay.host_key != null;
		const key = String(relay.offered_key).split(' ').slice(0, 2).join(' ');
		const accept = () => {
			const wrong = values.check({ kind: 'hostkey' }, key);

			return (wrong ? Promise.reject(new Error(wrong)) : lanward.save(() => uci.set('lanward', name, 'host_key', key))).then(() => {
				dialog.close();
				lanward.apply();
			}, error => lanward.say(dialog.said, error.message, true));
		};
		const dialog = lanward.dialog((changed ? _('Replace the host key of %s?') : _('Confirm the host key of %s?')).format(name), [
			E('pre', {}, [ String(relay.offered_fingerprint) ]),
			E('p', {}, [ changed
				? _('Go on only if you know why the key has changed, such as a server that was set up anew, and the relay\'s own console says the same fingerprint.')
				: _('Go on only if the relay\'s own console says the same fingerprint. Whoever stands in between could show a key of their own.') ])
		], [ [ _('Cancel'), '', () => dialog.close() ], [ _('It is the same: save and apply'), changed ? 'cbi-button-negative important' : 'cbi-button-positive important',
			button => lanward.press(button, accept) ] ], known.confirm);
	},

	makeKey(known) {
		return this.tell(known, lanward.call('relay_keygen', known.name).then(reply => {
			known.details.open = true;

			return reply.made === false
				? _('There is a key already (%s); it stays.').format(String(reply.key_file))
				: _('The key is made. Its line for the relay is below.');
		}));
	},

	/* Asked for when they are to be seen, and again when they may be others. */
	showFiles(known) {
		const key = known.relay.public_key == null ? '' : String(known.relay.public_key);
		const of = JSON.stringify([ 'host', 'port', 'user', 'remote_port', 'target' ].map(name => known.relay[name]).concat(key));

		lanward.show(known.details, known.relay.state != null);
		lanward.show(known.noKey, key == '');
		this.setLines(known, 'public_key', key);

		if (known.of !== of) {
			known.of = of;
			known.has = null;
			this.fetchFiles(known);
		}
	},

	fetchFiles(known) {
		const of = known.of;

		if (!known.details.open || known.has == of)
			return null;

		known.has = of;

		return lanward.call('relay_files', known.name).then(reply => {
			if (known.of == of)
				Object.keys(known.lines).forEach(key => key != 'public_key' && this.setLines(known, key, reply[key] == null ? '' : String(reply[key])));
			lanward.say(known.filesSaid, '');
		}, error => {
			known.has = null;
			lanward.say(known.filesSaid, error.message, true);
		});
	},

	setLines(known, key, text) {
		known.lines[key].set(text);
		lanward.show(known.lines[key].node, text != '');
	},

	/* Says at the relay what came of a call there. */
	tell(known, promise) {
		return promise.then(
			text => lanward.say(known.said, text),
			error => lanward.say(known.said, error.message, true)
		).then(() => this.refresh());
	},

	/* What may be pressed: nothing in a session that only reads, or without the daemon. */
	enable(known) {
		const may = this.up && !this.readonly;
		const { state, public_key } = known.relay;

		[ known.check, known.restart ].forEach(button => lanward.allow(button, may && state != null && state != 'idle'));
		[ known.keygen, known.confirm ].forEach(button => lanward.allow(button, may));
		lanward.show(known.keygen, state != null && public_key == null && !this.readonly);
		lanward.show(known.confirm, !this.readonly && uci.get('lanward', known.name) != null);
	}
});
