'use strict';
'require baseclass';
'require form';
'require uci';
'require tools.lanward as lanward';
'require tools.lanward.values as values';

/* The form for level and hosts. Its choices are plain radio buttons and checkboxes with labels: each says what it means beside
 * it, and a screen reader reads it so. */

const ports = level => '%d-%d'.format(lanward.number(level.from), lanward.number(level.to));
const tally = measured => _('%d of %d attempts from outside still connected').format(lanward.number(measured.connected), lanward.number(measured.attempts));

return baseclass.extend({
	/* The level's names, as pages say them. */
	levels() {
		return {
			'': _('Automatic'),
			'seed': _('Moderate (seed)'),
			'recommended': _('Recommended'),
			'strict': _('Strict'),
			'custom': _('Custom')
		};
	},

	/* Cards to choose one level. { node, value() } */
	levelCards(profiles, chosen, disabled) {
		const names = this.levels();
		const known = new Map(profiles.levels.map(level => [ level.id, level ]));
		const rows = (...pairs) => E('dl', {}, [
			...[].concat(...pairs.map(([ term, text ]) => [ E('dt', {}, [ term ]), E('dd', {}, [ text ]) ]))
		]);
		const about = id => {
			const level = known.get(id);

			if (id == '')
				return E('p', {}, [ _('Strict if hosts are chosen below, otherwise moderate.') ]);
			if (id == 'custom')
				return E('p', {}, [ _('Your own UDP ports.'), ' ', lanward.link('settings', _('They are set in Settings.')) ]);
			if (!level)
				return E('p', {}, []);

			return rows(
				[ _('UDP ports'), ports(level) ],
				[ _('Catches'), lanward.local(level.catches) ],
				[ _('Misses'), lanward.local(level.misses) ],
				[ _('Breaks'), lanward.local(level.breaks) ],
				[ _('Measured'), level.measured ? tally(level.measured) : _('not measured') ]);
		};
		const inputs = [];
		const ids = Object.keys(names);

		/* A value that is no level is the daemon's to complain of; here it stays until another is chosen. */
		if (ids.indexOf(chosen) < 0)
			ids.push(chosen);

		const cards = ids.map((id, at) => {
			const name = 'lanward-level-%d'.format(at);
			const input = E('input', {
				'id': name,
				'type': 'radio',
				'name': 'lanward-level',
				'class': 'cbi-input-radio',
				'value': id,
				'checked': (id == chosen) ? '' : null,
				'disabled': disabled ? '' : null,
				'aria-describedby': name + '-about'
			});

			inputs.push(input);

			return E('div', { 'class': 'lanward-level' }, [
				E('div', {}, [ input, ' ', E('label', { 'for': name }, [ names[id] || id ]) ]),
				E('div', { 'id': name + '-about' }, [ about(id) ])
			]);
		});
		const measurement = profiles.measurement;

		return {
			node: E('div', { 'role': 'radiogroup', 'aria-labelledby': 'lanward-levels' }, [
				E('h3', { 'id': 'lanward-levels' }, [ _('Level') ]),
				E('p', {}, [ _('The wider the range of ports, the more is stopped, and the more else breaks: video calls, games, VPN clients on your hosts.') ]),
				E('div', { 'class': 'lanward-levels' }, [ ...cards ]),
				measurement.what ? E('p', { 'class': 'lanward-fine' }, [
					_('What was measured: %s.').format(lanward.local(measurement.what)), ' ',
					measurement.without_rule ? _('Without any rule: %s.').format(tally(measurement.without_rule)) : ''
				]) : ''
			]),
			value: () => (inputs.filter(input => input.checked)[0] || {}).value || ''
		};
	},

	/* Boxes to choose hosts, and a field for one that the router does not know. { node, value(), wrong() } */
	hostBoxes(hosts, chosen, disabled) {
		const left = chosen.map(String);
		const boxes = [];
		const summary = E('p', { 'role': 'status' });
		const list = E('div', { 'class': 'lanward-hosts' });
		const count = () => {
			const some = boxes.filter(box => box.checked).length;

			lanward.text(summary, some
				? N_(some, 'It holds for %d host only.', 'It holds for %d hosts only.').format(some)
				: _('No host is chosen: it holds for every host in the zone.'));
		};
		const add = (value, name, detail, checked) => {
			const id = 'lanward-host-%d'.format(boxes.length);
			const box = E('input', {
				'id': id,
				'type': 'checkbox',
				'class': 'cbi-input-checkbox',
				'value': value,
				'checked': checked ? '' : null,
				'disabled': disabled ? '' : null,
				'change': count
			});

			boxes.push(box);
			list.appendChild(E('div', { 'class': 'lanward-host' }, [
				box, ' ',
				E('label', { 'for': id }, [ E('strong', {}, [ name ]), ' ', E('span', { 'class': 'lanward-fine' }, [ detail ]) ])
			]));
		};
		const taken = wanted => {
			const at = left.findIndex(value => wanted.indexOf(value.toLowerCase()) >= 0);

			return at < 0 ? null : left.splice(at, 1)[0];
		};

		hosts.forEach(host => {
			/* The MAC first: addresses move. What is configured stays as it is written. */
			const value = taken([ host.mac ]) || taken(host.addresses);
			const details = host.addresses.concat(host.mac);

			if (value || host.name || host.addresses.length)
				add(value || host.mac, host.name || host.addresses[0] || host.mac,
					host.name ? details.join(', ') : details.slice(1).join(', '), value != null);
		});
		left.forEach(value => add(value, value, _('configured; not seen by the router now'), true));

		const said = E('div', { 'id': 'lanward-host-said', 'class': 'lanward-said', 'role': 'status' });
		const field = E('input', {
			...lanward.typed,
			'id': 'lanward-host-more',
			'placeholder': '192.168.1.20',
			'disabled': disabled ? '' : null,
			'aria-describedby': 'lanward-host-said',
			'keydown': ev => {
				if (ev.key == 'Enter') {
					ev.preventDefault();
					take();
				}
			}
		});
		/* Says so beside the field when what was typed is no host. */
		const wrong = () => {
			const text = field.value.trim();
			const no = (text == '') ? null : values.check({ kind: 'host' }, text);

			if (no == null)
				return false;

			lanward.say(said, no, true);
			field.focus();

			return true;
		};
		const take = () => {
			const text = field.value.trim();
			const known = boxes.filter(box => box.value.toLowerCase() == text.toLowerCase())[0];

			if (wrong())
				return;

			if (text == '') {
				lanward.say(said, _('Enter an IPv4 address, an IPv6 address or a MAC, such as %s.').format('192.168.1.20'), true);
				field.focus();
				return;
			}

			if (known)
				known.checked = true;
			else
				add(text, text, _('entered by hand'), true);

			field.value = '';
			lanward.say(said, _('%s is chosen. It counts when the form is saved.').format(text));
			count();
			field.focus();
		};

		count();

		return {
			node: E('div', { 'role': 'group', 'aria-labelledby': 'lanward-hosts' }, [
				E('h3', { 'id': 'lanward-hosts' }, [ _('Hosts') ]),
				E('p', {}, [ _('Hosts that the router knows by its leases and neighbours. With hosts and no level of your own, the level is strict.') ]),
				summary,
				list,
				E('div', { 'class': 'lanward-buttons' }, [
					E('label', { 'for': 'lanward-host-more' }, [ _('Another host') ]),
					field,
					E('button', {
						'class': 'btn cbi-button cbi-button-add',
						'type': 'button',
						'disabled': disabled ? '' : null,
						'click': take
					}, [ _('Add') ])
				]),
				said
			]),
			/* In the configuration's order, so that what is the same stays the same. What was typed and not added counts, too: whoever
			 * presses Save means it. */
			value: () => {
				const all = boxes.filter(box => box.checked).map(box => box.value).concat(field.value.trim() || []);

				return chosen.filter(value => all.indexOf(value) >= 0).concat(all.filter(value => chosen.indexOf(value) < 0));
			},
			wrong: wrong
		};
	},

	/* The form over UCI; LuCI's own buttons save, apply and roll back. */
	form(profiles, hosts) {
		const map = new form.Map('lanward');
		const section = map.section(form.TypedSection, 'lan_only');
		const option = (name, load, make) => {
			const widgets = {};
			const one = section.option(form.Value, name, '');

			one.rmempty = true;
			one.load = id => load(uci.get('lanward', id, name));
			one.write = (id, value) => {
				if (uci.get('lanward', id) == null)
					uci.add('lanward', 'lan_only', id);

				uci.set('lanward', id, name, value);
			};
			one.renderWidget = (id, index, value) => (widgets[id] = make(value, map.readonly == true)).node;
			one.formvalue = id => widgets[id].value();
			one.isValid = id => !(widgets[id].wrong && widgets[id].wrong());
			one.getValidationError = () => _('The host that was typed is no IPv4 address, IPv6 address or MAC.');
		};

		section.anonymous = true;
		section.addremove = false;
		/* The one that the daemon takes, also where there is none yet: of two, the choices of one would be the other's. */
		section.cfgsections = () => {
			const names = uci.sections('lanward', 'lan_only').map(one => one['.name']);

			return [ (names.length && names.indexOf('lan_only') < 0) ? names[0] : 'lan_only' ];
		};
		option('level', value => value, (value, disabled) => this.levelCards(profiles, String(value || ''), disabled));
		option('host', value => value == null ? null : L.toArray(value), (value, disabled) => this.hostBoxes(hosts, value || [], disabled));

		return map;
	}
});
