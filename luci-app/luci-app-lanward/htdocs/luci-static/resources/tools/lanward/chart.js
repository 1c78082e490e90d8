'use strict';
'require baseclass';
'require dom';
'require tools.lanward as lanward';

/* Charts, drawn by hand as SVG at the size that there is for them; behind each its table, and the same as a file. What can be chosen in a chart is a
 * list to the keyboard and to screen readers. No colour stands alone: each has a pattern of its own. */

const HEIGHT = 244;
const ROW = 34;
const LOW_ROW = 24;
/* With so much room a bar's words stand beside it. */
const BESIDE = 560;
const WIDEST = 72;
const THIN = 5;
/* What can be pointed at is no wider than this. */
const TINT = 110;
/* Before the page is laid out. */
const WIDTH = 640;

/* Rows of a table beyond these are in the file only. */
const MOST_ROWS = 1000;

/* What lies over a style's colour, in a cell of 8 by 8: lines in the page's own colour. */
const PATTERNS = {
	1: 'M-2 2l4-4M0 8l8-8M6 10l4-4',
	2: 'M2 2h.1M6 6h.1',
	3: 'M-2 6l4 4M0 0l8 8M6-2l4 4',
	4: 'M0 2h8M0 6h8',
	5: 'M2 0v8M6 0v8',
	6: 'M0 4h8M4 0v8',
	7: 'M0 6l2-4l2 4l2-4l2 4',
	rest: 'M-2 6l4 4M0 0l8 8M6-2l4 4',
	extra: 'M-2 2l4-4M0 8l8-8M6 10l4-4'
};

const space = E('<svg></svg>', {}, []).namespaceURI;
/* LuCI would write out what is not there. */
const shape = (tag, attributes, children) => E(document.createElementNS(space, tag), attributes, (children || []).filter(child => child));
const text = (x, y, words, more) => shape('text', Object.assign({ 'x': x, 'y': y, 'class': 'lanward-tick' }, more), [ words ]);
const rect = (x, y, width, height, more) => shape('rect', Object.assign({ 'x': x.toFixed(1), 'y': y.toFixed(1), 'width': Math.max(0, width).toFixed(1),
	'height': Math.max(0, height).toFixed(1) }, more));

const language = () => document.documentElement.lang || [];
const count = number => lanward.number(number).toLocaleString(language());
const brief = number => number < 10000 ? count(number) : number.toLocaleString(language(), { notation: 'compact', maximumFractionDigits: 1 });

/* How wide such words are, about: letters of East Asia take two. */
const width = words => [ ...words ].reduce((sum, letter) => sum + (letter.charCodeAt(0) > 0x2e7f ? 12 : 7), 0);

/* The step of an axis with about so many of them up to this. */
const step = (most, steps) => {
	const rough = Math.max(1, most) / steps;
	const power = Math.pow(10, Math.floor(Math.log10(rough)));

	return Math.max(1, [ 1, 2, 2.5, 5, 10 ].find(one => one * power >= rough) * power);
};

let made = 0;

/* Styles as attributes: each with a pattern is defined where it is used. */
const styles = () => {
	const prefix = 'lanward-style-%d-'.format(++made);
	const defined = new Map();

	return {
		/* `plain`: the colour alone, where a pattern would be noise. */
		of: (style, plain) => {
			const id = prefix + style;
			const patterned = PATTERNS[style] && !plain;

			if (patterned && !defined.has(style))
				defined.set(style, shape('pattern', { 'id': id, 'width': 8, 'height': 8, 'patternUnits': 'userSpaceOnUse' }, [
					rect(0, 0, 8, 8, { 'class': 'lanward-fill-%s'.format(style) }),
					shape('path', { 'd': PATTERNS[style], 'class': 'lanward-over lanward-over-%s'.format(style) })
				]));

			return patterned ? { 'fill': 'url(#%s)'.format(id) } : { 'class': 'lanward-fill-%s'.format(style) };
		},
		node: () => shape('defs', {}, [ ...defined.values() ])
	};
};

/* A line through the points that there are, and a mark on each. */
const trace = points => [
	...[ 'lanward-halo', 'lanward-line' ].map(name => shape('path', {
		'class': name,
		'd': points.map((point, at) => point ? '%s%s %s'.format(points[at - 1] ? 'L' : 'M', point[0].toFixed(1), point[1].toFixed(1)) : '').join('')
	})),
	...points.filter(point => point).map(point => shape('circle', { 'class': 'lanward-dot', 'cx': point[0].toFixed(1), 'cy': point[1].toFixed(1), 'r': 3.5 }))
];

/* Bars side by side. Gives { height, behind, items, before }: shapes, of the items for each a list. */
const columns = (data, wide, use) => {
	const items = data.items;
	const total = item => item.parts.reduce((sum, part) => sum + part[0], 0);
	const cap = data.cap || Infinity;
	const most = Math.max(1, ...items.map(item => Math.min(cap, total(item))));
	const tick = step(most, 4);
	const top = most == cap ? cap : Math.ceil(most / tick) * tick;
	const ticks = [];

	for (let value = 0; value <= top * 1.001; value += tick)
		ticks.push(value);

	const line = data.line && data.line.some(value => value != null) ? data.line : null;
	const second = line ? step(Math.max(...line.map(value => value || 0)), top / tick) : 0;
	const left = Math.max(...ticks.map(value => width(brief(value)))) + 10;
	const right = wide - (line ? width('%s%%'.format(count(second * ticks.length))) + 8 : 4);
	const [ high, low ] = [ items.some(item => item.sign || total(item) > cap) ? 44 : 26, HEIGHT - 22 ];
	const band = (right - left) / items.length;
	const bar = Math.min(WIDEST, band > 6 ? band * .78 : band > 3 ? band - 1 : band);
	const y = value => low - (low - high) * Math.min(value, top) / top;
	const middle = at => left + band * (at + .5);

	/* As many words below as there is room for: every so many, or where something begins. */
	const every = Math.ceil((Math.max(...items.map(item => width(item.tick))) + 8) / band);
	const begins = every > 7 && items.some(item => item.begins);
	let free = -Infinity;
	let over = -Infinity;

	const below = items.map((item, at) => {
		const words = begins ? item.begins : (items.length - 1 - at) % every == 0 ? item.tick : '';
		const half = words ? width(words) / 2 : 0;
		const x = Math.min(Math.max(middle(at), half), right + 10 - half);

		if (!words || x - half < free)
			return null;

		free = x + half + 8;
		return text(x.toFixed(1), HEIGHT - 6, words, { 'text-anchor': 'middle' });
	});

	return {
		height: HEIGHT,
		behind: [
			...ticks.map(value => shape('path', { 'class': value ? 'lanward-grid' : 'lanward-base', 'd': 'M%d %sH%d'.format(left, y(value).toFixed(1), right) })),
			...ticks.map(value => text(left - 5, y(value) + 4, brief(value), { 'text-anchor': 'end' })),
			...(line ? ticks.map((value, at) => text(right + 5, y(value) + 4, '%s%%'.format(count(second * at)))) : []),
			text(0, 11, data.axis),
			...(line ? [ text(wide, 11, data.second, { 'text-anchor': 'end', 'class': 'lanward-tick lanward-second' }) ] : []),
			...below
		],
		items: items.map((item, at) => {
			const x = middle(at) - bar / 2;
			const sum = total(item);
			let reached = 0;

			const parts = item.parts.map(([ value, style ]) => {
				const [ from, to ] = [ y(reached), y(reached += value) ];

				/* What is next to it stays apart. */
				return from > to ? rect(x, to, bar, from - to - (from - to > 3 && bar > THIN ? 1 : 0), use.of(style, bar < THIN || from - to < THIN)) : null;
			});

			/* A bar that is cut off is torn, and says how far it would go. */
			if (sum > top) {
				parts.push(shape('path', { 'class': 'lanward-torn', 'd': 'M%s %dl%s -5v4l-%s 5z'.format((x - 2).toFixed(1), high + 12, bar + 4, bar + 4) }));

				if (middle(at) - width(count(sum)) / 2 > over) {
					const half = width(count(sum)) / 2;
					const place = Math.min(Math.max(middle(at), left + half), right - half);

					parts.push(text(place.toFixed(1), high - 4, count(sum), { 'text-anchor': 'middle', 'class': 'lanward-tick lanward-strong' }));
					over = place + half + 8;
				}
			}
			if (item.sign)
				parts.push(shape('path', { 'class': 'lanward-sign', 'd': 'M%s %sl5 8h-10z'.format(middle(at).toFixed(1), (sum > top ? high - 26 : y(sum) - 11).toFixed(1)) }));

			return [ rect(middle(at) - Math.min(band, TINT) / 2, 16, Math.min(band, TINT), low - 16, { 'class': 'lanward-hit' }), ...parts ];
		}),
		before: line ? trace(line.map((value, at) => value == null ? null : [ middle(at), low - (low - high) * value / (second * (top / tick)) ])) : []
	};
};

/* Bars one below the other, each with its words over it, or beside it where there is room. */
const rows = (data, wide, use) => {
	const most = Math.max(1, ...data.items.map(item => item.parts[0][0]));
	const beside = wide >= BESIDE;
	const strong = { 'class': 'lanward-tick lanward-strong' };
	const end = Object.assign({ 'text-anchor': 'end' }, strong);
	const room = beside ? wide * .55 : wide - width(count(most)) - 24;
	const words = item => width(item.tick + item.more) < room ? item.tick + item.more : item.tick;
	const left = beside ? Math.max(...data.items.map(item => Math.min(room, width(words(item))))) + 16 : 4;
	const right = wide - 4 - (beside ? width(count(most)) + 8 : 0);
	const height = beside ? LOW_ROW : ROW;

	return { height: height * data.items.length, behind: [], before: [], items: data.items.map((item, at) => {
		const y = at * height;
		const [ value, style ] = item.parts[0];
		const long = Math.max(2, (right - left) * value / most);

		return [
			rect(0, y, wide, height, { 'class': 'lanward-hit' }),
			text(4, y + (beside ? 16 : 14), words(item)),
			beside ? text(left + long + 6, y + 16, count(value), strong) : text(wide - 4, y + 14, count(value), end),
			rect(left, y + (beside ? 5 : 19), long, beside ? 14 : 10, use.of(style))
		];
	}) };
};

/* A chart and the line that says what is pointed at. `choose(key, keyboard)`: an item was chosen. { node, change(data) }; `data`: label, for who
 * does not see it; items: [ { key, tick, text, parts: [ [ value, style ] ] } ]; chosen: a key. */
const chart = (form, choose) => {
	const svg = E('<svg></svg>', { 'class': 'lanward-svg', 'focusable': 'false' }, []);
	const says = E('p', { 'class': 'lanward-says-so', 'aria-hidden': 'true' });
	const node = E('div', {}, [ svg, says ]);
	let data = null;
	let shown = '';
	let wide = 0;
	let active = null;

	const at = target => {
		const item = target.closest ? target.closest('[data-at]') : null;

		return item && svg.contains(item) ? data.items[+item.getAttribute('data-at')] : null;
	};
	const say = item => lanward.text(says, item ? item.text : data && choose ? _('Choose a bar for more: by pointing, or by the arrow keys and Enter.') : '');
	const rest = () => say(data.items.find(item => item.key === data.chosen));
	const nodes = () => [ ...svg.querySelectorAll('[role="option"]') ];

	const draw = () => {
		const use = styles();
		const focused = svg.contains(document.activeElement);
		const { height, behind, items, before } = form(data, wide, use);
		const current = data.items.some(item => item.key === active) ? active : data.items.some(item => item.key === data.chosen) ? data.chosen
			: data.items.length ? data.items[data.items.length - 1].key : null;

		svg.setAttribute('viewBox', '0 0 %d %d'.format(wide, height));
		svg.setAttribute('height', height);
		dom.content(svg, [
			shape('g', { 'aria-hidden': 'true' }, behind),
			shape('g', choose ? { 'role': 'listbox', 'aria-label': data.label, 'aria-orientation': form == rows ? 'vertical' : 'horizontal' }
				: { 'role': 'img', 'aria-label': data.label },
				items.map((parts, index) => shape('g', Object.assign({ 'data-at': index }, choose ? {
					'role': 'option',
					'aria-label': data.items[index].text,
					'aria-selected': data.items[index].key === data.chosen ? 'true' : 'false',
					'tabindex': data.items[index].key === current ? '0' : '-1'
				} : {}), parts))),
			shape('g', { 'aria-hidden': 'true', 'class': 'lanward-before' }, before),
			use.node()
		]);

		if (focused)
			svg.querySelector('[tabindex="0"]').focus();
	};

	svg.addEventListener('mousemove', ev => say(at(ev.target)));
	svg.addEventListener('mouseleave', rest);
	svg.addEventListener('focusin', ev => {
		const item = at(ev.target);

		/* One stop for the Tab key, and that where one was last. */
		nodes().forEach(one => one.setAttribute('tabindex', one === ev.target ? '0' : '-1'));
		active = item ? item.key : active;
		say(item);
	});
	svg.addEventListener('focusout', rest);

	if (choose) {
		svg.addEventListener('click', ev => {
			const item = at(ev.target);

			if (item) {
				active = item.key;
				choose(item.key, false);
			}
		});
		svg.addEventListener('keydown', ev => {
			const all = nodes();
			const index = all.indexOf(ev.target);
			const to = { 'ArrowLeft': index - 1, 'ArrowUp': index - 1, 'ArrowRight': index + 1, 'ArrowDown': index + 1, 'Home': 0, 'End': all.length - 1,
				'PageUp': index - 7, 'PageDown': index + 7 }[ev.key];

			if (index < 0 || (to == null && ev.key != 'Enter' && ev.key != ' '))
				return;

			ev.preventDefault();

			if (to == null)
				choose(at(ev.target).key, true);
			else
				all[Math.min(Math.max(to, 0), all.length - 1)].focus();
		});
	}

	new ResizeObserver(() => {
		if (node.clientWidth && node.clientWidth != wide) {
			wide = node.clientWidth;

			if (data)
				draw();
		}
	}).observe(node);

	return {
		node: node,
		change: next => {
			const key = JSON.stringify(next);

			if (key === shown)
				return;

			shown = key;
			data = next;
			wide = node.clientWidth || wide || WIDTH;
			draw();

			if (!svg.contains(document.activeElement))
				rest();
		}
	};
};

/* Rows as a file that spreadsheets read. A cell that they would take for a formula is none. */
const csv = (names, lines) => {
	const cell = value => typeof(value) == 'number' ? String(value) : '"%s"'.format(String(value == null ? '' : value).replace(/^[=+@-]/, ' $&').split('"').join('""'));

	return [ names, ...lines ].map(line => line.map(cell).join(',') + String.fromCharCode(13, 10)).join('');
};

const table = (names, lines, label) => {
	const shown = lines.slice(-MOST_ROWS);
	const words = value => typeof(value) == 'number' ? count(value) : String(value == null ? '' : value);

	return [
		E('table', { 'class': 'table', 'aria-label': label }, [
			E('thead', {}, [ E('tr', { 'class': 'tr table-titles' }, [ ...names.map(name => E('th', { 'class': 'th left', 'scope': 'col' }, [ name ])) ]) ]),
			E('tbody', {}, [ ...shown.map(line => E('tr', { 'class': 'tr' }, [
				...line.map((value, at) => E(at ? 'td' : 'th', { 'class': 'td left', 'data-title': names[at], 'scope': at ? null : 'row' }, [ words(value) ]))
			])) ])
		]),
		lines.length > shown.length ? E('p', {}, [ _('Only the last %d rows are shown. All of them are in the file.').format(shown.length) ]) : ''
	];
};

return baseclass.extend({
	count: count,

	/* A section of the page with a chart in it. `names`: of the table's columns, [ for people, in the file ]; `above`: what stands over the chart. { node, heading,
	 * change(data), fail(error) }; `data` as the chart's, and: lines, the table's rows; legend, [ style, words ]; file, its name; none, words where there is nothing. */
	section(title, form, names, choose, above) {
		const drawn = chart({ columns: columns, rows: rows }[form], choose);
		const heading = E('h3', { 'tabindex': '-1' }, [ title ]);
		const legend = E('ul', { 'class': 'lanward-legend' });
		const none = E('p', { 'role': 'status' });
		const place = E('div', { 'class': 'lanward-scroll', 'tabindex': '0', 'role': 'region', 'aria-label': title });
		const details = E('details', { 'toggle': () => fill() }, [ E('summary', {}, [ _('The same as a table') ]), place ]);
		const body = E('div', {}, [
			drawn.node, legend,
			E('div', { 'class': 'lanward-buttons' }, [ E('button', {
				'class': 'btn cbi-button cbi-button-neutral lanward-look',
				'type': 'button',
				'aria-label': _('Download %s as CSV').format(title),
				'click': () => data && lanward.download(data.file, csv(names.map(name => name[1]), data.lines), 'text/csv')
			}, [ _('Download CSV') ]) ]),
			details
		]);
		let data = null;
		let filled = null;

		/* Made when it is opened: it may be long. */
		const fill = () => {
			if (details.open && data && filled !== data.lines) {
				filled = data.lines;
				dom.content(place, table(names.map(name => name[0]), data.lines, title));
			}
		};
		const say = (words, wrong) => {
			lanward.text(none, words);
			lanward.show(none, words != '');
			none.classList.toggle('lanward-wrong', wrong);
		};

		say('', false);
		lanward.show(body, false);

		return {
			node: E('div', { 'class': 'cbi-section lanward-chart' }, [ heading, ...(above || []), none, body ]),
			heading: heading,

			change: next => {
				const there = next.items.length > 0;

				say(there ? '' : next.none, false);
				lanward.show(body, there);

				if (!there)
					return;

				/* The same again is no news to the table. */
				if (data && JSON.stringify(data.lines) === JSON.stringify(next.lines))
					next.lines = data.lines;

				data = next;
				drawn.change({ label: next.label, items: next.items, chosen: next.chosen, cap: next.cap, line: next.line, axis: next.axis, second: next.second });
				lanward.fill(legend, next.legend || [], ([ style, words ]) => {
					const use = styles();
					const mark = style == 'sign' ? shape('path', { 'class': 'lanward-sign', 'd': 'M7 3l5 8h-10z' })
						: style == 'line' ? shape('g', {}, trace([ [ -9, 7 ], [ 7, 7 ], [ 23, 7 ] ])) : rect(1, 1, 12, 12, use.of(style));

					return [ E('<svg></svg>', { 'viewBox': '0 0 14 14', 'width': '14', 'height': '14', 'aria-hidden': 'true' }, [ use.node(), mark ]), ' ', words ];
				});
				lanward.show(legend, (next.legend || []).length > 0);
				fill();
			},

			fail: error => {
				say(error.message, true);
				lanward.show(body, false);
			}
		};
	}
});
