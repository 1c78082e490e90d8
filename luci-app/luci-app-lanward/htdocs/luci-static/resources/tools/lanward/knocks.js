'use strict';
'require baseclass';
'require poll';
'require uci';
'require tools.lanward as lanward';
'require tools.lanward.values as values';

/* The knocks of the gates, and beside each a panel in which it is tried out. */

/* Seconds without any step after which a panel says what may be the matter. */
const QUIET = 30;

/* Attempts beyond these are not shown: whoever forges addresses makes as many as they like. */
const MOST = 8;

/* The steps of a sequence as they are configured: the daemon tells their number only. */
const steps = (name, which) => values.shape({ many: true, ordered: true }, uci.get('lanward', name, which)) || [];

/* And as the clients want them: tcp:7000 is 7000, udp:8000 is 8000:udp. */
const client = words => words.map(word => word.replace(/^tcp:/, '').replace(/^udp:(.*)$/, '$1:udp')).join(' ');

/* What came of each address and sequence, the latest last; `since`: what is older, in milliseconds, is not looked at. */
const attempts = (knock, recent, since) => {
	const found = new Map();

	recent.filter(one => one != null && one.knock === knock.name && lanward.number(one.ago_ms) <= since).forEach(one => {
		const closing = one.sequence == 'close' || one.event == 'close';
		const key = String(one.address) + ' ' + closing;
		const attempt = found.get(key) || { key: key, address: String(one.address), closing: closing, of: 0, age: 0 };
		const stage = lanward.number(one.stage);

		attempt.of = Math.min(16, lanward.number(one.of)) || attempt.of || lanward.number(closing ? knock.close : knock.open);
		attempt.state = (one.event == 'open' || one.event == 'close') ? 'done' : one.event == 'wrong' ? 'wrong' : 'stage';
		attempt.at = attempt.state == 'done' ? attempt.of : attempt.state == 'wrong' ? 0 : stage;

		if (stage == 1 || attempt.at == 0)
			attempt.age = lanward.number(one.ago_ms);

		found.delete(key);
		found.set(key, attempt);
	});

	found.forEach(attempt => {
		if (attempt.state == 'stage' && attempt.age > lanward.number(knock.timeout) * 1000) {
			attempt.state = 'late';
			attempt.at = 0;
		}
	});

	return [ ...found.values() ].slice(-MOST);
};

const sentence = (knock, attempt) => ({
	'stage': _('%s: step %d of %d.').format(attempt.address, attempt.at, attempt.of),
	'wrong': _('%s: wrong port. It begins anew.').format(attempt.address),
	'late': _('%s: too slow. It begins anew.').format(attempt.address),
	'done': (attempt.closing ? _('%s: OPEN SESAME. The gate %s is closed to it.') : _('%s: OPEN SESAME. The gate %s is open to it.'))
		.format(attempt.address, knock.gate)
}[attempt.state]);

/* { node, open(), change(recent), fail(error) } */
const panel = knock => {
	const commands = [ [ 'open', _('Sequence that opens') ], [ 'close', _('Sequence that closes') ] ]
		.map(([ which, label ]) => [ label, client(steps(knock.name, which)) ]).filter(([ , ports ]) => ports != '');
	const said = E('div', { 'role': 'status' });
	const list = E('div', {});
	const hints = E('ul', { 'class': 'lanward-list' }, [
		E('li', {}, [ _('Knock at this router\'s address on the internet, from outside: another router in front of it must pass the ports on.') ]),
		E('li', {}, [ _('The whole sequence has to arrive within its time, and in order.') ]),
		E('li', {}, [ _('TCP and UDP are not the same: look at each step.') ])
	]);
	let began = 0;

	return {
		node: E('div', { 'class': 'lanward-panel' }, [
			E('p', {}, [ _('Knock from outside, such as from a phone without Wi-Fi: the LAN and the VPN are never asked. HOST is this router\'s name or address on the internet. By knockd\'s client or ours:') ]),
			...[].concat(...commands.map(([ label, ports ]) => [
				E('p', {}, [ label ]),
				...[ 'knock', 'lanward knock' ].map(program => E('pre', {}, [ '%s HOST %s'.format(program, ports) ]))
			])),
			said,
			list,
			hints
		]),

		open() {
			began = Date.now();
			this.change([]);
		},

		change(recent) {
			const age = Date.now() - began;
			const found = attempts(knock, recent, age);
			const last = found[found.length - 1];
			const quiet = !last && age >= QUIET * 1000;

			lanward.rows(list, found, attempt => attempt.key, attempt => {
				const words = E('span', {});
				const row = E('ol', { 'class': 'lanward-steps', 'aria-hidden': 'true' });

				return { node: E('div', {}, [ words, row ]), words: words, steps: row, closing: attempt.closing };
			}, (row, attempt) => {
				const names = steps(knock.name, attempt.closing ? 'close' : 'open');
				const all = Array.from({ length: attempt.of }, (none, at) => ({ name: names.length == attempt.of ? names[at] : String(at + 1), at: at }));

				lanward.text(row.words, sentence(knock, attempt));
				lanward.rows(row.steps, all, step => step.at, () => ({ node: E('li', {}) }), (one, step) => {
					one.node.setAttribute('data-state', step.at < attempt.at ? 'done' : 'open');
					lanward.text(one.node, (step.at < attempt.at ? '✓ ' : '') + step.name);
				});
			});

			/* What the rows show is said as well, and not shown twice. */
			said.className = last ? 'lanward-unseen' : 'lanward-said';
			lanward.text(said, last ? sentence(knock, last) : quiet ? _('Nothing has arrived. What may be the matter:') : _('Waiting for the first step.'));
			lanward.show(hints, quiet);
		},

		fail(error) {
			said.className = 'lanward-said lanward-wrong';
			lanward.text(said, error.message);
		}
	};
};

return baseclass.extend({
	/* The daemon's answer, {} where no gate has a knock, or {error}. */
	fetch(gates) {
		return gates.some(gate => lanward.list(gate.knocks).length)
			? lanward.call('knock_list').catch(error => ({ error: error }))
			: Promise.resolve({});
	},

	/* { node, change(found) } */
	list() {
		const body = E('div', {});
		const trouble = E('p', { 'class': 'lanward-wrong' });
		const open = new Set();
		const listen = () => lanward.call('knock_list').then(
			reply => open.forEach(one => one.change(lanward.list(reply.recent))),
			error => open.forEach(one => one.fail(error)));
		const attend = () => open.size ? poll.add(listen, 1) : poll.remove(listen);
		let made = 0;

		const make = knock => {
			const id = 'lanward-knock-%d'.format(++made);
			const row = { facts: {}, panel: panel(knock) };
			const facts = E('table', { 'class': 'table lanward-facts' }, []);

			[ [ 'gate', _('Opens') ], [ 'open', _('Sequence') ], [ 'timeout', _('Within') ], [ 'seconds', _('Open for') ], [ 'close', _('Closed by') ] ].forEach(([ key, label ]) =>
				facts.appendChild(lanward.fact(label, row.facts[key] = E('td', { 'class': 'td left' }))));

			const test = E('button', {
				'class': 'btn cbi-button cbi-button-action',
				'type': 'button',
				'aria-expanded': 'false',
				'aria-describedby': id,
				'click': () => {
					const opens = !open.has(row.panel);

					open[opens ? 'add' : 'delete'](row.panel);
					test.setAttribute('aria-expanded', String(opens));
					lanward.text(test, opens ? _('End the test') : _('Test'));
					lanward.show(row.panel.node, opens);
					attend();

					if (opens) {
						row.panel.open();
						listen();
					}
				}
			}, [ _('Test') ]);

			row.node = E('div', {}, [ E('h4', { 'id': id }, [ knock.name ]), facts, test, row.panel.node ]);
			lanward.show(row.panel.node, false);

			return row;
		};

		const change = (row, knock) => {
			const fact = (key, text) => {
				lanward.text(row.facts[key], text);
				lanward.show(row.facts[key].parentNode, text != '');
			};
			const sequence = key => steps(knock.name, key).join(' ') || (lanward.number(knock[key])
				? N_(lanward.number(knock[key]), '%d step', '%d steps').format(lanward.number(knock[key])) : '');
			const seconds = count => N_(count, '%d second', '%d seconds').format(count);

			fact('gate', String(knock.gate));
			fact('open', sequence('open'));
			fact('timeout', seconds(lanward.number(knock.timeout)));
			fact('seconds', knock.seconds ? seconds(lanward.number(knock.seconds)) : _('until the sequence that closes'));
			fact('close', sequence('close'));
		};

		const node = E('div', { 'class': 'cbi-section' }, [ E('h3', {}, [ _('Knocks') ]), trouble, body ]);

		return {
			node: node,
			change: found => {
				const knocks = lanward.list(found.knocks).filter(knock => knock != null);

				if (!found.error)
					lanward.rows(body, knocks, knock => String(knock.name), make, change);

				open.forEach(one => one.node.isConnected || open.delete(one));
				attend();
				lanward.text(trouble, found.error ? found.error.message : '');
				lanward.show(trouble, found.error != null);
				lanward.show(node, found.error != null || knocks.length > 0);
			}
		};
	}
});
