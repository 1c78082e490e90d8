'use strict';
'require baseclass';
'require tools.lanward as lanward';

/* What is known of the applications (profiles.json), for people: what a level stops of each, what it does not, what to do. */

/* How much of an application's reach is cut off. */
const strengths = {
	'none': _('nothing'),
	'partial': _('some of its ways, some of the time'),
	'direct-only': _('direct connections only; its relay remains'),
	'direct-and-known-relay': _('direct connections and the relay known by address'),
	'nearly-complete': _('nearly everything'),
	'complete-default-ports': _('everything, on its default ports')
};

const items = texts => E('ul', { 'class': 'lanward-list' }, [ ...lanward.list(texts).map(text => E('li', {}, [ lanward.local(text) ])) ]);

return baseclass.extend({
	/* The strength of a level against an application, in words. Ports of one's own have none. */
	strength(application, level) {
		if (level == 'custom')
			return _('depends on your ports');

		const known = (application.strength || {})[level];

		return strengths[known] || String(known || _('not known'));
	},

	/* An application's texts, and beneath them what to do about the rest. { node, change(level) } */
	body(application) {
		const stops = items(application.stops);
		const nothing = E('p', {}, [ _('Nothing at this level.') ]);
		const sources = lanward.list(application.sources).map(source => '%s (%s)'.format(source.title, source.ref));
		const unsettled = lanward.list(application.unverified).map(text => lanward.local(text));
		const node = E('div', {}, [
			E('div', { 'class': 'lanward-columns' }, [
				E('div', {}, [ E('h5', {}, [ _('Stopped') ]), stops, nothing ]),
				E('div', {}, [ E('h5', {}, [ _('Not stopped') ]), items(application.does_not_stop) ])
			]),
			E('details', {}, [
				E('summary', {}, [ _('What to do about the rest') ]),
				E('p', {}, [ lanward.local(application.needed) ]),
				E('p', { 'class': 'lanward-fine' }, [
					unsettled.length ? _('Not settled: %s.').format(unsettled.join('; ')) + ' ' : '',
					_('Sources: %s.').format(sources.join('; ')), ' ',
					application.verified == 'measured'
						? _('Measured; checked on %s.').format(application.checked_on)
						: _('From documentation; checked on %s.').format(application.checked_on)
				])
			])
		]);

		return {
			node: node,
			change: level => {
				const some = level != 'custom' && (application.strength || {})[level] != 'none' && lanward.list(application.stops).length > 0;

				lanward.show(stops, some || level == 'custom');
				lanward.show(nothing, !some && level != 'custom');
			}
		};
	},

	/* One application in full. { node, change(level) } */
	block(application) {
		const strength = E('p', { 'class': 'lanward-strength' });
		const body = this.body(application);

		return {
			node: E('div', { 'class': 'lanward-application' }, [ E('h4', {}, [ application.name ]), strength, body.node ]),
			change: level => {
				lanward.text(strength, _('Stopped at the present level: %s').format(this.strength(application, level)));
				body.change(level);
			}
		};
	},

	/* Every application, each folded. { node, change(level) } */
	all(applications) {
		const parts = applications.map(application => {
			const strength = E('span', { 'class': 'lanward-fine' });
			const body = this.body(application);

			return {
				node: E('details', { 'class': 'lanward-application' }, [
					E('summary', {}, [ E('strong', {}, [ application.name ]), ' ', strength ]),
					body.node
				]),
				change: level => {
					lanward.text(strength, this.strength(application, level));
					body.change(level);
				}
			};
		});

		return {
			node: E('div', {}, [ ...parts.map(part => part.node) ]),
			change: level => parts.forEach(part => part.change(level))
		};
	}
});
