'use strict';
'require baseclass';
'require uci';
'require tools.lanward as lanward';
'require tools.lanward.values as values';

/* The keys (SPA) of the gates: what there are, a new one, and the end of one. A key is in the page while its dialog is open, and not before or after. */

/* What the daemon takes where a section says nothing. */
const SECONDS = 30;
const MOST_SECONDS = 3600;

const wide = { ...lanward.typed, 'style': 'width:100%' };

/* tcp:2222>192.168.1.10:22 is asked for as tcp/2222. */
const access = gate => lanward.list(gate.services).map(service => String(service).replace(/^tcp:([0-9]+).*$/, 'tcp/$1')).join(',');

/* A QR code's rows of 0 and 1, black on white in every theme, with the margin that readers need; nothing where that is no code. */
const picture = (rows, label) => {
	const size = rows.length;

	if (size == 0 || size > 177 || !rows.every(row => typeof(row) == 'string' && row.length == size && /^[01]+$/.test(row)))
		return '';

	const svg = E('<svg><path fill="#fff"/><path/></svg>', {
		'class': 'lanward-code',
		'viewBox': '-4 -4 %d %d'.format(size + 8, size + 8),
		'shape-rendering': 'crispEdges',
		'role': 'img',
		'aria-label': label
	}, null);
	let dark = '';

	rows.forEach((row, y) => row.replace(/1+/g, (run, x) => {
		dark += 'M%d %dh%dv1h-%dz'.format(x, y, run.length, run.length);
	}));
	svg.firstChild.setAttribute('d', 'M-4-4h%dv%dh-%dz'.format(size + 8, size + 8, size + 8));
	svg.lastChild.setAttribute('d', dark);

	return svg;
};

/* Shows a new key, this once. `failed`: why its section could not be saved. */
const reveal = (name, ports, reply, failed, back) => {
	const { field, copy, set } = lanward.lines(_('Lines for ~/.fwknoprc'), words => lanward.say(dialog.said, words));
	const dialog = lanward.dialog(_('The key %s').format(name), [
		E('div', { 'class': 'alert-message warning' }, [
			_('This is shown once, now, and never again. Whoever has it gets to the gate\'s door. If it is lost, revoke it and make another.')
		]),
		...(failed ? [ E('div', { 'class': 'alert-message error', 'role': 'alert' }, [
			E('p', {}, [ failed.message ]),
			_('What is left: add a signed packet %s in the settings, with the key file %s; or delete that file on the router.').format(name, reply.key_file)
		]) ] : []),
		E('h5', {}, [ _('For a laptop') ]),
		E('p', {}, [ _('Append these lines to ~/.fwknoprc, which only you may read:') ]),
		field,
		copy,
		E('p', {}, [ _('Then run the first of these before ssh; or the second, with the two lines of keys in a file of their own:') ]),
		E('pre', {}, [ 'fwknop -n %s'.format(name) ]),
		E('pre', {}, [ 'lanward spa HOST --access %s --key-file FILE --address source'.format(ports) ]),
		E('h5', {}, [ _('For a phone') ]),
		E('p', {}, [ _('Scan this with the app Fwknop2, and give it the router\'s name and the access %s.').format(ports) ]),
		picture(lanward.list(reply.qr), _('QR code of the key %s').format(name))
	], [ failed ? [ _('Close'), '', () => dialog.close() ] : [ _('I have it: save and apply'), 'cbi-button-apply important', () => {
		dialog.close();
		lanward.apply();
	} ] ], back, true);

	set(String(reply.stanza || '').trim());
	copy.focus();
};

/* Asks what is needed for a new key. `taken`: names of keys that the router has. */
const ask = (gates, taken, back) => {
	const field = (id, label, node) => E('p', {}, [ E('label', { 'for': id }, [ label ]), node ]);
	const name = E('input', { ...wide, 'id': 'lanward-key-name', 'maxlength': '32', 'placeholder': 'laptop' });
	const gate = E('select', { 'id': 'lanward-key-gate', 'class': 'cbi-input-select' }, [
		...gates.map(one => E('option', { 'value': one.name }, [ one.name ]))
	]);
	const seconds = E('input', { ...wide, 'id': 'lanward-key-seconds', 'inputmode': 'numeric', 'value': String(SECONDS) });
	const host = E('input', { ...wide, 'id': 'lanward-key-host', 'placeholder': 'home.example.net' });

	const wrong = () => {
		const others = uci.sections('lanward').map(one => ({ name: one['.name'], type: one['.type'] }))
			.concat(taken.map(one => ({ name: one, type: '' })));
		const text = name.value.trim();

		return [
			[ name, /^[a-z0-9_]+$/.test(text) ? values.name('spa', text, others) : _('Write a name: small letters, digits and underscores.') ],
			[ seconds, values.check({ kind: 'number', min: 1, max: 604800 }, seconds.value.trim()) ],
			[ host, host.value.trim() == '' ? null : values.check({ kind: 'hostname' }, host.value.trim()) ]
		].find(([ , words ]) => words != null);
	};

	const make = () => {
		const label = name.value.trim();
		const time = Number(seconds.value);
		const at = gate.value;
		const ports = access(gates.find(one => one.name == at));

		return lanward.call('spa_keygen', label, host.value.trim() || undefined, ports).then(reply => lanward.save(() => {
			uci.add('lanward', 'spa', label);
			uci.set('lanward', label, 'gate', at);
			uci.set('lanward', label, 'key_file', reply.key_file);

			if (time != SECONDS)
				uci.set('lanward', label, 'seconds', String(time));
			if (time > MOST_SECONDS)
				uci.set('lanward', label, 'max_seconds', String(time));
		}).then(() => null, error => error).then(failed => {
			dialog.close();
			reveal(label, ports, reply, failed, back);
		}), error => lanward.say(dialog.said, error.message, true));
	};

	const dialog = lanward.dialog(_('Make a key'), [
		field('lanward-key-name', _('Name, such as the device that is to have it'), name),
		field('lanward-key-gate', _('Gate'), gate),
		field('lanward-key-seconds', _('Open for, in seconds'), seconds),
		field('lanward-key-host', _('This router\'s name or address on the internet (may be empty)'), host)
	], [ [ _('Cancel'), '', () => dialog.close() ], [ _('Make the key'), 'cbi-button-positive important', button => {
		const found = wrong();

		if (!found)
			return lanward.press(button, make);

		lanward.say(dialog.said, found[1], true);
		found[0].focus();
	} ] ], back);
};

/* Ends a key, in two steps: the router forgets it, and its section goes. */
const revoke = (name, back) => {
	const file = uci.get('lanward', name, 'key_file') || '';
	let refused = false;

	const remove = () => lanward.save(() => uci.remove('lanward', name)).then(() => {
		dialog.close();
		lanward.apply();
	}, error => lanward.say(dialog.said, (refused ? '' : _('The key is revoked.') + ' ') +
		_('Its section is still there (%s). What is left: remove it in the settings, among the signed packets.').format(error.message), true));

	const dialog = lanward.dialog(_('Revoke the key %s?').format(name), [
		E('p', {}, [ _('It opens nothing any more, at once and for good: its file on the router is deleted, and its section removed. Sessions that are running go on.') ])
	], [ [ _('Cancel'), '', () => dialog.close() ], [ _('Revoke'), 'cbi-button-negative important', button => lanward.press(button, () => refused ? remove() :
		lanward.call('spa_revoke', name).then(remove, error => {
			refused = true;
			lanward.text(button, _('Remove its section'));
			lanward.say(dialog.said, _('The router could not delete the key (%s). What is left: remove its section, by which it opens nothing any more, and delete its file on the router: %s').format(error.message, file), true);
		})) ] ], back);
};

return baseclass.extend({
	/* The daemon's answer, {} where there is no key, or {error}. */
	fetch(gates) {
		return gates.some(gate => lanward.list(gate.spas).length) || uci.sections('lanward', 'spa').length
			? lanward.call('spa_list').catch(error => ({ error: error }))
			: Promise.resolve({});
	},

	/* { node, change(found, gates), enable(up) } */
	list(readonly) {
		const labels = [ _('Name'), _('Gate'), _('Port'), _('State'), _('Accepted'), _('Rejected'), _('Last accepted') ];
		const head = label => E('th', { 'class': 'th left', 'scope': 'col' }, [ label ]);
		const body = E('tbody', {});
		const table = E('table', { 'class': 'table', 'aria-label': _('Keys') }, [
			E('thead', {}, [ E('tr', { 'class': 'tr table-titles' }, [ ...labels.map(head), E('td', { 'class': 'th cbi-section-actions' }) ]) ]),
			body
		]);
		const trouble = E('p', { 'class': 'lanward-wrong' });
		const make = E('button', {
			'class': 'btn cbi-button cbi-button-add',
			'type': 'button',
			'aria-haspopup': 'dialog',
			'click': () => make.disabled || ask(gates, names, make)
		}, [ _('Make a key') ]);
		const node = E('div', { 'class': 'cbi-section' }, [
			E('h3', {}, [ _('Keys') ]),
			E('p', {}, [ _('Whoever has a key opens its gate with one encrypted and signed packet (SPA). Nothing answers that packet.') ]),
			trouble,
			table,
			make
		]);
		let gates = [];
		let names = [];
		let known = new Map();

		const row = key => {
			const cells = labels.map(label => E('td', { 'class': 'td left', 'data-title': label }));
			const button = E('button', {
				'class': 'btn cbi-button cbi-button-remove',
				'type': 'button',
				'aria-haspopup': 'dialog',
				'aria-label': _('Revoke %s').format(key.name),
				'click': () => button.disabled || revoke(key.name, button)
			}, [ _('Revoke') ]);

			lanward.show(button, !readonly);

			return { node: E('tr', { 'class': 'tr' }, [ ...cells, E('td', { 'class': 'td cbi-section-actions' }, [ button ]) ]), cells: cells, button: button };
		};

		const show = (one, key) => [
			key.name, key.gate, key.port,
			key.ready ? _('ready') : key.error || _('not in force: not applied yet, or wrong in the settings'),
			lanward.number(key.accepted), lanward.number(key.rejected),
			lanward.number(key.last_accept) ? '%s, %s'.format(key.last_address, lanward.when(key.last_accept)) : _('never')
		].forEach((text, at) => lanward.text(one.cells[at], text == null ? '' : String(text)));

		lanward.show(make, !readonly);

		return {
			node: node,

			enable: up => [ make, ...[ ...known.values() ].map(one => one.button) ].forEach(button => lanward.allow(button, up && !readonly)),

			change: (found, now) => {
				const keys = lanward.list(found.spas).filter(key => key != null).map(key => Object.assign({}, key, { name: String(key.name) }));

				gates = now.map(gate => ({ name: String(gate.name), services: gate.services }));
				names = keys.map(key => key.name);

				/* What was saved and is not in force is there, too. */
				uci.sections('lanward', 'spa').forEach(section => {
					if (!found.error && names.indexOf(section['.name']) < 0)
						keys.push({ name: section['.name'], gate: section.gate, port: section.port || 62201 });
				});

				if (!found.error)
					known = lanward.rows(body, keys, key => key.name, row, show);

				lanward.text(trouble, found.error ? found.error.message : '');
				lanward.show(trouble, found.error != null);
				lanward.show(table, known.size > 0);
				lanward.show(node, gates.length > 0 || known.size > 0);
			}
		};
	}
});
