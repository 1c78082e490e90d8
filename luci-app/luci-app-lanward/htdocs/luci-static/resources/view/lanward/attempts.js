'use strict';
'require view';
'require poll';
'require dom';
'require uci';
'require tools.lanward as lanward';
'require tools.lanward.chart as chart';
'require tools.lanward.ports as ports';
'require tools.lanward.said as said';
'require tools.lanward.values as values';

/* A port stands for itself on days on which it was tried that often. */
const SHOWN = 100;
/* Ports with a look of their own; the others share one. */
const LOOKS = 8;
/* Where bars are cut off on request, so that one day does not hide the others. */
const CAP = 10000;
/* Sources that are shown: the largest few, and all with so many attempts. */
const [ FEW, LARGE, MOST_SOURCES ] = [ 20, 1000, 60 ];
const MOST_OUTLIERS = 12;
const MONTHS = 120;
const DAYS = 3660;
/* For one answer, and how many of them for one chart: the daemon may give less at a time. */
const ROWS = 2048;
const MOST_ANSWERS = 64;
/* Seconds between two looks at what is counted: the daemon counts by the minute, and its answers are long. */
const LOOK = 300;

const count = chart.count;
const times = number => N_(number, '%s attempt', '%s attempts').format(count(number));

/* Days and months are the router's; here they are counted in UTC, where each has 24 hours. */
const time = date => Date.parse(date + (date.length == 7 ? '-01' : '') + 'T00:00:00Z');
const iso = milliseconds => new Date(milliseconds).toISOString().substring(0, 10);
const later = (date, days) => iso(time(date) + days * 86400000);
const written = (date, how) => new Date(time(date)).toLocaleDateString(document.documentElement.lang || [], Object.assign({ timeZone: 'UTC' }, how));
const long = date => written(date, { year: 'numeric', month: 'long', day: 'numeric' });
const longMonth = month => written(month, { year: 'numeric', month: 'long' });
const isDate = date => /^[0-9]{4}-[0-9]{2}-[0-9]{2}$/.test(date) && !isNaN(time(date));
const lines = (rows, right) => lanward.list(rows).filter(row => row != null && right(row));

/* What makes a day an outlier, in the daemon's words. */
const why = day => said.translate(String(day.why || day.attempts)).replace(/[0-9]{4,}/g, digits => count(+digits));

/* Text from outside reaches the page only within arrays or as textContent: LuCI takes a bare string for markup. */
return view.extend({
	handleSaveApply: null,
	handleSave: null,
	handleReset: null,

	load() {
		return Promise.all([ this.fetch(), this.look(), Promise.resolve(uci.load('lanward')).catch(() => null) ]);
	},

	/* {status, recent, unheard} or {error}; never rejects, so that the page appears whatever is the matter. */
	fetch() {
		return Promise.all([
			lanward.call('status'),
			lanward.call('ledger_recent').then(reply => ({ recent: reply.attempts }), error => ({ unheard: error }))
		]).then(([ status, recent ]) => Object.assign({ status: status }, recent)).catch(error => ({ error: error }));
	},

	/* {months, days} or {error}; never rejects. */
	look() {
		return Promise.all([
			lanward.call('history', 'month', undefined, undefined, MONTHS),
			this.gather('day', undefined, undefined)
		]).then(([ months, days ]) => ({
			months: lines(months.rows, row => /^[0-9]{4}-[0-9]{2}$/.test(row.month) && !isNaN(time(row.month))),
			days: days
		}), error => ({ error: error }));
	},

	/* Rows by their date, the newest first asked for, until there are no more; what is cut off at an answer's beginning comes with the next. `so_far`
	 * is told what is there after each. */
	gather(by, from, to, so_far) {
		const found = new Map();
		const next = (until, left) => lanward.call('history', by, from, until, by == 'day' ? DAYS : ROWS).then(reply => {
			const rows = lines(reply.rows, row => isDate(row.date));
			const dates = new Set(rows.map(row => row.date));

			dates.forEach(date => found.set(date, []));
			rows.forEach(row => found.get(row.date).push(row));

			if (reply.more !== true || rows.length == 0 || left < 2)
				return found;
			if (so_far && !so_far(found))
				return found;

			return next(dates.size > 1 ? rows[0].date : later(rows[0].date, -1), left - 1);
		});

		return next(to, MOST_ANSWERS);
	},

	/* Hands on what comes, unless the same was asked for anew meanwhile. */
	latest(name, promise, take, fail) {
		const turn = this.turns[name] = (this.turns[name] || 0) + 1;
		const fresh = then => found => this.turns[name] == turn ? then(found) : null;

		return promise.then(fresh(take), fresh(fail || (() => null)));
	},

	render([ first, seen ]) {
		this.readonly = !L.hasViewPermission();
		this.parts = {};
		this.turns = {};
		this.days = new Map();
		this.months = [];
		this.cap = null;
		this.rest = null;
		this.known = false;
		this.up = false;

		const part = (name, tag, attributes, children) =>
			this.parts[name] = E(tag, attributes || {}, children || []);
		const tell = (name, label) => E('div', {}, [ E('dt', {}, [ label ]), part(name, 'dd', {}) ]);

		this.monthly = chart.section(_('By month'), 'columns', [ [ _('Month'), 'month' ], [ _('Attempts'), 'attempts' ], [ _('Days counted'), 'days' ], [ _('Per day'), 'per_day' ],
			[ _('Per day, without outliers'), 'per_day_without_outliers' ], [ _('Percent of the year before'), 'year_on_year' ] ],
			(month, keyboard) => this.chooseRange(month, keyboard), [
				E('p', {}, [ _('The average of a month\'s days. The line is its ratio to the same month a year before, without outliers in either. Choose a month to see its days.') ])
			]);
		this.daily = chart.section(_('By day and port'), 'columns', [ [ _('Day'), 'date' ], [ _('Protocol'), 'protocol' ], [ _('Port'), 'port' ], [ _('Known for'), 'name' ],
			[ _('Attempts'), 'attempts' ] ], (date, keyboard) => this.chooseDay(date, keyboard), [
				E('div', { 'class': 'lanward-buttons' }, [
					E('label', { 'for': 'lanward-range' }, [ _('Days shown') ]),
					part('range', 'select', { 'id': 'lanward-range', 'class': 'cbi-input-select lanward-look', 'change': ev => this.chooseRange(ev.currentTarget.value) }),
					E('label', { 'class': 'lanward-check' }, [
						part('cap', 'input', { 'type': 'checkbox', 'class': 'lanward-look', 'change': ev => {
							this.cap = ev.currentTarget.checked;
							this.showDays();
						} }), ' ', _('Cut bars off at %s').format(count(CAP))
					]),
					E('label', { 'class': 'lanward-check' }, [
						part('rest', 'input', { 'type': 'checkbox', 'class': 'lanward-look', 'change': ev => {
							this.rest = ev.currentTarget.checked;
							this.showDays();
						} }), ' ', _('With all other ports')
					])
				]),
				part('span', 'p', { 'role': 'status' })
			]);
		this.sources = chart.section(_('Where a day\'s attempts came from'), 'rows', [ [ _('Day'), 'date' ], [ _('Address'), 'address' ], [ _('Attempts'), 'attempts' ],
			[ _('Ports'), 'ports' ] ], (address, keyboard) => this.chooseSource(address, keyboard), [
				E('div', { 'class': 'lanward-buttons' }, [
					E('label', { 'for': 'lanward-day' }, [ _('Day') ]),
					part('day', 'input', { 'id': 'lanward-day', 'type': 'date', 'class': 'cbi-input-text lanward-look', 'change': ev => this.chooseDay(ev.currentTarget.value) })
				]),
				part('daySays', 'p', { 'role': 'status' })
			]);
		this.hourly = chart.section(_('By hour'), 'columns', [ [ _('Hour'), 'time' ], [ _('Address'), 'address' ], [ _('Attempts'), 'attempts' ] ], null, [
			part('hourSays', 'p', { 'role': 'status' }),
			E('div', { 'class': 'lanward-buttons' }, [
				part('everybody', 'button', { 'class': 'btn cbi-button cbi-button-neutral lanward-look', 'type': 'button', 'click': () => this.chooseSource(null) },
					[ _('All sources of this day') ])
			])
		]);

		const page = lanward.page([
			E('h2', { 'tabindex': '-1' }, [ _('Attempts') ]),
			part('trouble', 'div', { 'class': 'alert-message error', 'role': 'alert' }),
			part('readonly', 'div', { 'class': 'alert-message notice' }, [ _('This session may look, but not change anything.') ]),
			part('off', 'div', { 'class': 'alert-message notice' }, [
				_('Nothing is counted: that is switched off. What was counted before is still here.'), ' ', lanward.link('settings', _('Change it in Settings'))
			]),
			part('problem', 'div', { 'class': 'alert-message warning' }),
			E('p', {}, [ _('What strangers on the internet tried at this router and nothing accepted. Nearly all of it comes from programs that try every address there is: it is no sign that somebody means you. What they look for most are telnet, SMB, SQL and remote desktop. Never open those to the internet; use a VPN.') ]),
			part('main', 'div', {}, [
				E('dl', { 'class': 'lanward-figures' }, [
					tell('today', _('Today')),
					tell('perDay', _('Per day this month, without outliers')),
					tell('ratio', _('Of the same month a year before'))
				]),
				part('wrong', 'p', { 'class': 'lanward-wrong', 'role': 'status' }),
				part('nothing', 'p', {}, [ _('Nothing has been counted yet. The first attempts usually show within minutes of going online.') ]),
				part('charts', 'div', {}, [
					this.monthly.node,
					this.daily.node,
					part('outliers', 'div', { 'class': 'cbi-section' }, [
						E('h3', {}, [ _('Outlier days') ]),
						E('p', {}, [ _('Days that are far from what is usual here. Often it is a single source.') ]),
						part('outlierList', 'ul', { 'class': 'lanward-list' })
					]),
					this.sources.node,
					this.hourly.node
				]),
				this.renderRecent(part),
				this.renderKept(part)
			])
		]);

		lanward.show(this.parts.readonly, this.readonly);
		this.update(first);
		this.take(seen);
		poll.add(L.bind(this.refresh, this));
		poll.add(() => this.again(), LOOK);

		return page;
	},

	renderRecent(part) {
		this.labels = [ _('Time'), _('Address'), _('Port') ];

		return E('div', { 'class': 'cbi-section' }, [
			E('h3', {}, [ _('Just now') ]),
			E('p', {}, [ _('A sample, renewed every few seconds: of many attempts in a moment only some are listed here, but all are counted. The newest is at the top.') ]),
			part('recentSays', 'p', {}),
			part('recent', 'div', { 'class': 'lanward-scroll', 'tabindex': '0', 'role': 'region', 'aria-label': _('Just now') }, [
				E('table', { 'class': 'table', 'aria-label': _('Just now') }, [
					E('thead', {}, [ E('tr', { 'class': 'tr table-titles' }, [ ...this.labels.map(label => E('th', { 'class': 'th left', 'scope': 'col' }, [ label ])) ]) ]),
					part('recentRows', 'tbody', {})
				])
			])
		]);
	},

	/* What stays on the router, and its end. */
	renderKept(part) {
		const section = uci.sections('lanward', 'ledger')[0] || {};
		const kept = /^[0-9]{1,5}$/.test(section.keep_days) ? +section.keep_days : 800;
		const masked = values.shape({ kind: 'switch' }, section.mask_sources) == '1';

		return E('div', { 'class': 'cbi-section' }, [
			E('h3', {}, [ _('What is kept') ]),
			E('ul', { 'class': 'lanward-list' }, [
				E('li', {}, [ _('Numbers only: no packet is stored, and nothing leaves the router.') ]),
				E('li', {}, [ N_(kept, 'How many attempts in each hour, and at which ports on each day: for %d day.', 'How many attempts in each hour, and at which ports on each day: for %d days.').format(kept) ]),
				E('li', {}, [ masked
					? _('From where, by hour: for 31 days, and networks only (/24, /48), no single addresses.')
					: _('From where, by hour: for 31 days, with the whole address. The settings can have it keep networks only.') ]),
				part('commit', 'li', {})
			]),
			E('p', {}, [ lanward.link('settings', _('Change it in Settings')) ]),
			E('div', { 'class': 'lanward-buttons' }, [
				part('erase', 'button', {
					'class': 'btn cbi-button cbi-button-negative',
					'type': 'button',
					'aria-haspopup': 'dialog',
					'click': () => this.askErase()
				}, [ _('Erase everything') ])
			]),
			part('said', 'div', { 'class': 'lanward-said', 'role': 'status' })
		]);
	},

	/* --- what goes on now --- */

	refresh() {
		return this.latest('status', this.fetch(), found => {
			const back = found.error == null && !this.up;

			this.update(found);

			/* What could not be had before may be there now. */
			return back ? this.again() : null;
		});
	},

	update(found) {
		const parts = this.parts;

		const up = lanward.answered(this, found);

		lanward.allow(parts.erase, up && !this.readonly);

		if (!up)
			return;

		const ledger = found.status.ledger || {};
		const commit = lanward.number(ledger.last_commit);

		lanward.show(parts.off, ledger.enabled === false);
		lanward.text(parts.problem, String(ledger.problem || ''));
		lanward.show(parts.problem, parts.problem.textContent != '');
		lanward.text(parts.today, count(ledger.today));
		lanward.text(parts.commit, commit
			? _('Last written to flash: %s. A power cut loses what came after that.').format(lanward.when(commit))
			: _('Not written to flash yet: until then a power cut loses it.'));
		this.showRecent(found);
	},

	showRecent(found) {
		const parts = this.parts;
		const seen = new Map();
		const list = lines(found.recent, row => typeof(row) == 'object').map(row => {
			const cells = [ String(row.time || '').replace('T', ' '), String(row.address || ''), ports.label(String(row.protocol || ''), lanward.number(row.port)) ];
			const key = JSON.stringify(cells.slice(1));

			/* The same again is another one. */
			seen.set(key, (seen.get(key) || 0) + 1);
			return { key: '%d %s'.format(seen.get(key), key), cells: cells };
		}).reverse();

		if (found.unheard) {
			lanward.text(parts.recentSays, found.unheard.message);
			lanward.show(parts.recentSays, true);
			return;
		}

		lanward.rows(parts.recentRows, list, one => one.key, one => ({ node: E('tr', { 'class': 'tr' }, [
			...one.cells.map((words, at) => E('td', { 'class': 'td left', 'data-title': this.labels[at] }, [ words ]))
		]) }), (row, one) => lanward.text(row.node.firstChild, one.cells[0]));
		lanward.text(parts.recentSays, list.length ? '' : _('Nobody, so far.'));
		lanward.show(parts.recentSays, !list.length);
		lanward.show(parts.recent, list.length > 0);
	},

	/* --- what was counted --- */

	again() {
		return this.up ? this.latest('look', this.look(), found => this.take(found)) : Promise.resolve();
	},

	take(found) {
		const parts = this.parts;

		lanward.text(parts.wrong, found.error && this.up ? found.error.message : '');
		lanward.show(parts.wrong, parts.wrong.textContent != '');

		if (found.error) {
			lanward.show(parts.nothing, false);
			lanward.show(parts.charts, this.days.size > 0);
			return null;
		}

		this.months = found.months;
		this.days = new Map([ ...found.days ].map(([ date, rows ]) => [ date, rows[0] ]));
		this.dates = [ ...this.days.keys() ].sort();

		const there = this.dates.length > 0;
		const month = this.months[this.months.length - 1] || {};

		lanward.show(parts.nothing, !there);
		lanward.show(parts.charts, there);
		lanward.text(parts.perDay, there ? count(month.per_day_without_outliers) : '-');
		lanward.text(parts.ratio, month.year_on_year != null ? '%s%%'.format(count(month.year_on_year)) : '-');

		if (!there)
			return null;

		const newest = this.dates[this.dates.length - 1];

		parts.day.setAttribute('min', this.dates[0]);
		parts.day.setAttribute('max', newest);
		this.showRanges();
		this.showMonths();
		this.showOutliers();

		if (!this.day || !this.days.has(this.day))
			this.day = this.dates.slice(-31).reverse().find(date => this.days.get(date).outlier === true) || newest;

		return Promise.all([ this.fetchPorts(), this.fetchSources() ]);
	},

	showRanges() {
		const ranges = [ 7, 31, 400 ].map(days => [ String(days), N_(days, 'the last %d day', 'the last %d days').format(days) ]);
		const months = [ ...new Set(this.dates.map(date => date.substring(0, 7))) ].reverse().map(month => [ month, longMonth(month) ]);
		const all = ranges.concat(months);

		if (!all.some(([ value ]) => value == this.range))
			this.range = '31';
		if (this.ranges !== JSON.stringify(all)) {
			this.ranges = JSON.stringify(all);
			dom.content(this.parts.range, all.map(([ value, label ]) => E('option', { 'value': value }, [ label ])));
		}

		this.parts.range.value = this.range;
	},

	showMonths() {
		const months = this.months;
		const usual = month => lanward.number(month.per_day_without_outliers);
		const more = month => Math.max(0, lanward.number(month.per_day) - usual(month));

		this.monthly.change({
			label: _('Attempts per day, by month'),
			axis: _('attempts per day'),
			second: _('of the year before'),
			file: 'lanward-months.csv',
			none: _('No month has been counted yet.'),
			chosen: this.range,
			lines: months.map(month => [ month.month, lanward.number(month.attempts), lanward.number(month.days), lanward.number(month.per_day), usual(month),
				month.year_on_year == null ? '' : lanward.number(month.year_on_year) ]),
			line: months.map(month => month.year_on_year == null ? null : lanward.number(month.year_on_year)),
			legend: [ [ '0', _('usual days') ], ...(months.some(more) ? [ [ 'extra', _('what outlier days add') ] ] : []),
				...(months.some(month => month.year_on_year != null) ? [ [ 'line', _('of the same month a year before, in percent (right axis)') ] ] : []) ],
			items: months.map(month => ({
				key: month.month,
				tick: month.month,
				parts: [ [ usual(month), '0' ], [ more(month), 'extra' ] ],
				text: [
					_('%s: %s attempts a day').format(longMonth(month.month), count(usual(month))),
					more(month) ? _('with outlier days %s').format(count(month.per_day)) : '',
					month.year_on_year != null ? _('%s%% of a year before').format(count(month.year_on_year)) : ''
				].filter(words => words).join(', ')
			}))
		});
	},

	showOutliers() {
		const days = this.dates.filter(date => this.days.get(date).outlier === true).reverse().slice(0, MOST_OUTLIERS);

		lanward.show(this.parts.outliers, days.length > 0);
		lanward.fill(this.parts.outlierList, days.map(date => [ date, why(this.days.get(date)) ]), ([ date, words ]) => [
			E('button', { 'class': 'btn cbi-button cbi-button-neutral lanward-look', 'type': 'button', 'click': () => this.chooseDay(date, true) }, [ long(date) ]), ' ', words
		]);
	},

	/* --- ports of the days --- */

	/* The first and the last day that are shown. */
	bounds() {
		const newest = this.dates[this.dates.length - 1];

		if (this.range.length == 7) {
			const end = later(iso(time(this.range) + 31 * 86400000).substring(0, 7) + '-01', -1);

			return [ this.range + '-01', end < newest ? end : newest ];
		}

		const begin = later(newest, 1 - this.range);

		return [ begin > this.dates[0] ? begin : this.dates[0], newest ];
	},

	chooseRange(range, keyboard) {
		this.range = range;
		this.parts.range.value = range;
		this.showMonths();

		if (keyboard != null)
			this.lead(this.daily, keyboard);

		return this.fetchPorts();
	},

	fetchPorts() {
		const range = this.range;
		const [ from, to ] = this.bounds();
		const so_far = found => {
			if (range != this.range)
				return false;

			this.ports = found;
			this.showDays(true);
			return true;
		};

		return this.latest('ports', this.gather('port', from, to, so_far), found => {
			this.ports = found;
			this.showDays();
		}, error => this.daily.fail(error));
	},

	/* Gives each of these ports a place, the one it had before if it can. */
	dress(keys) {
		const looks = (this.looks || []).map(key => keys.indexOf(key) < 0 ? null : key);

		keys.filter(key => looks.indexOf(key) < 0).forEach(key => {
			const free = looks.indexOf(null);

			looks[free < 0 ? looks.length : free] = key;
		});

		return this.looks = looks;
	},

	showDays(loading) {
		const [ from, to ] = this.bounds();
		const days = [];
		const sums = new Map();
		const name = row => '%s %d'.format(row.protocol, lanward.number(row.port));

		for (let date = from; date <= to; date = later(date, 1)) {
			const rows = lines(this.ports.get(date), () => true);
			const large = rows.filter(row => row.protocol !== 'other' && lanward.number(row.attempts) >= SHOWN);
			const known = this.days.get(date);
			const all = known ? lanward.number(known.attempts) : rows.reduce((sum, row) => sum + lanward.number(row.attempts), 0);

			large.forEach(row => sums.set(name(row), (sums.get(name(row)) || 0) + row.attempts));
			days.push({ date: date, large: large, all: all, rest: Math.max(0, all - large.reduce((sum, row) => sum + row.attempts, 0)), outlier: known && known.outlier === true });
		}

		const looks = this.dress([ ...sums.keys() ].sort((a, b) => sums.get(b) - sums.get(a)).slice(0, LOOKS));
		const look = row => looks.indexOf(name(row)) < 0 ? 'more' : String(looks.indexOf(name(row)));
		const labels = new Map(days.flatMap(day => day.large.map(row => [ name(row), ports.label(String(row.protocol), lanward.number(row.port)) ])));

		/* Shown by itself where there would be next to nothing else; cut off by itself where that helps, as most days are below. */
		const rest = this.rest == null ? sums.size == 0 : this.rest;
		const sizes = days.map(day => day.all - (rest ? 0 : day.rest)).sort((a, b) => a - b);
		const cap = this.cap == null ? sizes[sizes.length - 1] > CAP && sizes[sizes.length >> 1] < CAP : this.cap;

		this.parts.rest.checked = rest;
		this.parts.cap.checked = cap;
		lanward.text(this.parts.span, loading ? _('Still counting, back from %s …').format(long(to))
			: _('%s. Choose a day to see who tried.').format(from == to ? long(to) : _('%s to %s', 'days').format(long(from), long(to))));
		this.daily.change({
			label: _('Attempts per day, by port'),
			axis: rest ? _('attempts per day') : _('attempts per day, ports with %d or more').format(SHOWN),
			file: 'lanward-ports-%s-%s.csv'.format(from, to),
			none: _('Nothing was counted on these days.'),
			chosen: this.day,
			cap: cap ? CAP : null,
			lines: days.flatMap(day => [
				...day.large.map(row => [ day.date, String(row.protocol), lanward.number(row.port), ports.name(row.protocol, row.port), row.attempts ]),
				...(day.rest ? [ [ day.date, 'other', '', '', day.rest ] ] : [])
			]),
			legend: [
				...looks.map((key, at) => [ String(at), labels.get(key) ]).filter(([ , words ]) => words),
				...(sums.size > LOOKS ? [ [ 'more', N_(sums.size - LOOKS, '%d further port with %d or more on a day', '%d further ports with %d or more on a day').format(sums.size - LOOKS, SHOWN) ] ] : []),
				...(rest ? [ [ 'rest', _('all other ports') ] ] : []),
				...(days.some(day => day.outlier) ? [ [ 'sign', _('outlier day') ] ] : [])
			],
			items: days.map(day => ({
				key: day.date,
				tick: days.length > 8 ? String(+day.date.substring(8)) : written(day.date, { month: 'short', day: 'numeric' }),
				begins: day.date.substring(8) == '01' ? written(day.date, { month: 'short', year: day.date.substring(5, 7) == '01' ? 'numeric' : undefined }) : '',
				sign: day.outlier,
				parts: [ ...day.large.map(row => [ row.attempts, look(row) ]).sort((a, b) => a[1] < b[1] ? -1 : a[1] > b[1] ? 1 : b[0] - a[0]), ...(rest ? [ [ day.rest, 'rest' ] ] : []) ],
				text: [
					_('%s: %s').format(long(day.date), times(day.all)) + (day.outlier ? ' (%s)'.format(_('outlier day')) : ''),
					...day.large.slice(0, 4).map(row => '%s %s'.format(labels.get(name(row)), count(row.attempts)))
				].join(', ')
			}))
		});
	},

	/* --- sources of a day, and their hours --- */

	chooseDay(date, keyboard) {
		if (!isDate(date))
			return null;

		this.day = date;
		this.source = null;

		if (this.ports)
			this.showDays();
		if (keyboard != null)
			this.lead(this.sources, keyboard);

		return this.fetchSources();
	},

	fetchSources() {
		const day = this.day;

		this.parts.day.value = day;

		return Promise.all([
			this.latest('sources', lanward.call('history', 'source', day, day, 4 * ROWS), reply => this.showSources(lines(reply.rows, row => row.date === day)), error => {
				this.sayDay('');
				this.sources.fail(error);
			}),
			this.fetchHours()
		]);
	},

	sayDay(words) {
		const known = this.days.get(this.day) || {};

		lanward.text(this.parts.daySays, [
			_('%s: %s.').format(long(this.day), times(lanward.number(known.attempts))),
			known.outlier === true ? _('An outlier day: %s.').format(why(known)) : '',
			words
		].filter(one => one).join(' '));
	},

	showSources(rows) {
		const own = rows.filter(row => row.address !== 'other').map(row => ({
			address: String(row.address),
			attempts: lanward.number(row.attempts),
			ports: lines(row.ports, () => true).map(one => [ ports.label(String(one.protocol), lanward.number(one.port)), lanward.number(one.attempts) ])
		})).sort((a, b) => b.attempts - a.attempts);
		const shown = own.slice(0, Math.min(MOST_SOURCES, Math.max(FEW, own.filter(row => row.attempts >= LARGE).length)));
		const others = rows.reduce((sum, row) => sum + lanward.number(row.attempts), 0) - shown.reduce((sum, row) => sum + row.attempts, 0);
		const listed = row => row.ports.map(([ words, number ]) => '%s %s'.format(words, count(number))).join(', ');

		this.sayDay(others > 0 ? _('All other sources together: %s.').format(count(others)) : '');
		this.sources.change({
			label: _('Attempts by source on %s').format(long(this.day)),
			file: 'lanward-sources-%s.csv'.format(this.day),
			none: _('No sources are known of this day. They are kept for 31 days.'),
			chosen: this.source,
			lines: own.map(row => [ this.day, row.address, row.attempts, listed(row) ]),
			items: shown.map(row => ({
				key: row.address,
				tick: row.address,
				more: row.ports.length ? ' · ' + row.ports[0][0] : '',
				parts: [ [ row.attempts, '0' ] ],
				text: [ _('%s: %s').format(row.address, times(row.attempts)), listed(row) ].filter(words => words).join(', ')
			}))
		});
		this.shown = rows;
	},

	chooseSource(address, keyboard) {
		this.source = address;

		if (this.shown)
			this.showSources(this.shown);
		if (keyboard != null)
			this.lead(this.hourly, keyboard);

		return this.fetchHours();
	},

	fetchHours() {
		const { day, source } = this;

		return this.latest('hours', lanward.call('history', 'hour', day, day, 48, undefined, undefined, source || undefined), reply => {
			const hours = Array(24).fill(0);

			lines(reply.rows, row => new RegExp('^%sT[0-2][0-9]$'.format(day)).test(row.time)).forEach(row => hours[+row.time.substring(11)] += lanward.number(row.attempts));
			lanward.text(this.parts.hourSays, source ? _('%s on %s').format(source, long(day)) : _('All sources on %s').format(long(day)));
			lanward.show(this.parts.everybody, source != null);

			const named = hour => '%02d:00'.format(hour);
			const words = (hour, number) => (number >= 3600 ? _('%s to %s: %s, about %d a second') : _('%s to %s: %s')).format(named(hour), named(hour + 1), times(number), Math.round(number / 3600));

			this.hourly.change({
				label: _('Attempts by hour: %s').format(this.parts.hourSays.textContent),
				axis: _('attempts per hour'),
				file: 'lanward-hours-%s.csv'.format(day),
				none: _('Nothing was counted.'),
				lines: hours.map((number, hour) => [ '%s %s'.format(day, named(hour)), source || '', number ]),
				items: hours.some(number => number) ? hours.map((number, hour) => ({ key: hour, tick: String(hour), parts: [ [ number, '0' ] ], text: words(hour, number) })) : []
			});
		}, error => {
			lanward.text(this.parts.hourSays, source || long(day));
			this.hourly.fail(error);
		});
	},

	/* From a chart to the next: into sight, and the keyboard goes along. */
	lead(section, keyboard) {
		section.node.scrollIntoView({ block: 'nearest' });

		if (keyboard)
			section.heading.focus({ preventScroll: true });
	},

	/* --- the end --- */

	askErase() {
		const button = this.parts.erase;

		if (button.disabled || button.getAttribute('aria-disabled') == 'true' || button.getAttribute('aria-busy') == 'true')
			return;

		const dialog = lanward.dialog(_('Erase everything that was counted?'), [
			E('p', {}, [ _('Every count goes for good, from memory and from flash: months, days, ports, sources and hours. Counting begins anew. Download what you want to keep first.') ])
		], [ [ _('Cancel'), '', () => dialog.close() ], [ _('Erase everything'), 'cbi-button-negative important', () => {
			dialog.close();
			lanward.press(button, () => this.erase());
		} ] ], button);
	},

	erase() {
		return lanward.call('ledger_erase').then(() => {
			lanward.say(this.parts.said, _('Everything is erased.'));
			this.cap = this.rest = this.range = this.day = this.source = this.shown = null;
			return Promise.all([ this.refresh(), this.again() ]);
		}, error => lanward.say(this.parts.said, error.message, true));
	}
});
