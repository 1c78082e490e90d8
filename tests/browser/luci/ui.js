'use strict';
'require baseclass';
'require dom';
'require uci';
'require poll';
'require rpc';

/* A stand-in for LuCI's ui.js and validation.js: dialogs, notifications, indicators, tabs, the widgets that forms use, what may be typed into
 * them, and Save & Apply. */

/* --- what may be typed --- */

const number = text => /^-?\d+(\.\d+)?$/.test(text) ? +text : NaN;
const isIp4 = text => /^\d{1,3}(\.\d{1,3}){3}$/.test(text) && text.split('.').every(part => +part < 256);
const isIp6 = text => {
	if (!/^[0-9a-f:.]+$/i.test(text) || !text.includes(':'))
		return false;

	try { return new URL('http://[' + text + ']').hostname != '' } catch (e) { return false }
};
const masked = (text, address, bits) => {
	const [ host, mask, more ] = text.split('/');

	return more == null && address(host) && (mask == null || (/^\d+$/.test(mask) && +mask <= bits) || (bits == 32 && isIp4(mask)));
};
const cidr = (text, address, bits) => /\/\d+$/.test(text) && masked(text, address, bits);

/* name to [ holds(text, arguments...), what is expected ] */
const TYPES = {
	string: [ () => true, '' ],
	file: [ () => true, '' ],
	device: [ () => true, '' ],
	integer: [ text => /^-?\d+$/.test(text), _('valid integer value') ],
	uinteger: [ text => /^\d+$/.test(text), _('positive integer value') ],
	float: [ text => !isNaN(number(text)), _('valid decimal value') ],
	ufloat: [ text => number(text) >= 0, _('positive decimal value') ],
	range: [ (text, min, max) => number(text) >= +min && number(text) <= +max, (min, max) => _('value between %f and %f').format(min, max) ],
	min: [ (text, min) => number(text) >= +min, min => _('value greater or equal to %f').format(min) ],
	max: [ (text, max) => number(text) <= +max, max => _('value smaller or equal to %f').format(max) ],
	minlength: [ (text, min) => new Blob([ text ]).size >= +min, min => _('value with at least %d characters').format(min) ],
	maxlength: [ (text, max) => new Blob([ text ]).size <= +max, max => _('value with at most %d characters').format(max) ],
	port: [ text => /^-?\d+$/.test(text) && +text >= 0 && +text <= 65535, _('valid port value') ],
	portrange: [ text => {
		const ends = text.split('-').map(number);

		return /^\d+(-\d+)?$/.test(text) && ends[0] <= ends[ends.length - 1] && ends[ends.length - 1] <= 65535;
	}, _('valid port or port range (port1-port2)') ],
	ip4addr: [ (text, bare) => bare ? isIp4(text) : masked(text, isIp4, 32), bare => bare ? _('valid IPv4 address') : _('valid IPv4 address or network') ],
	ip6addr: [ (text, bare) => bare ? isIp6(text) : masked(text, isIp6, 128), bare => bare ? _('valid IPv6 address') : _('valid IPv6 address or prefix') ],
	ipaddr: [ (text, bare) => TYPES.ip4addr[0](text, bare) || TYPES.ip6addr[0](text, bare), bare => bare ? _('valid IP address') : _('valid IP address or prefix') ],
	cidr4: [ text => cidr(text, isIp4, 32), _('valid IPv4 CIDR') ],
	cidr6: [ text => cidr(text, isIp6, 128), _('valid IPv6 CIDR') ],
	cidr: [ text => cidr(text, isIp4, 32) || cidr(text, isIp6, 128), _('valid IPv4 or IPv6 CIDR') ],
	macaddr: [ text => /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text) && !(parseInt(text[1], 16) & 1), _('valid MAC address') ],
	hostname: [ text => text.length <= 253 && (/^\w+$/.test(text) || (/^\w[\w.-]*[a-zA-Z0-9]\.?$/.test(text) && /[^0-9.]/.test(text))), _('valid hostname') ],
	host: [ text => TYPES.hostname[0](text) || TYPES.ipaddr[0](text, true), _('valid hostname or IP address') ],
	uciname: [ text => /^\w+$/.test(text), _('valid UCI identifier') ],
	hexstring: [ text => /^([0-9a-f]{2})+$/i.test(text), _('hexadecimal encoded value') ]
};

/* 'or(port, range(1, 5))' to what is expected instead of `text`, or null where it holds. */
const expected = (type, text) => {
	const parts = (list) => {
		const found = [];
		let depth = 0;
		let from = 0;

		[ ...list + ',' ].forEach((letter, at) => {
			depth += letter == '(' ? 1 : letter == ')' ? -1 : 0;

			if (letter == ',' && depth == 0) {
				found.push(list.slice(from, at).trim());
				from = at + 1;
			}
		});

		return found.filter(part => part != '');
	};
	const [ , name, list ] = type.trim().match(/^([^(]+)(?:\(([^]*)\))?$/);
	const args = parts(list || '');
	const bare = word => word.replace(/^(['"])(.*)\1$/, '$2');

	if (name == 'or' || name == 'and') {
		const wrong = args.map(arg => TYPES[arg.split('(')[0]] || /^(or|and|list|neg)\(/.test(arg) ? expected(arg, text) : bare(arg) == text ? null : '"%s"'.format(bare(arg)));
		const left = wrong.filter(one => one != null);

		return name == 'or' ? (left.length < wrong.length ? null : _('One of the following: %s').format('\n - ' + left.join('\n - '))) : left[0] ?? null;
	}

	if (name == 'list')
		return text.trim().split(/\s+/).map(word => expected(args[0], word)).find(wrong => wrong != null) ?? null;
	if (name == 'neg')
		return expected(args[0], text.replace(/^\s*!\s*/, ''));
	if (!TYPES[name])
		L.raise('SyntaxError', 'Unhandled token "%s"', name);

	const [ holds, words ] = TYPES[name];
	const values = args.map(bare);

	return holds(text, ...values) ? null : typeof(words) == 'function' ? words(...values) : words;
};

const addValidator = (field, type, optional, own, ...events) => {
	const validate = () => {
		const value = field.value ?? '';
		let wrong = value === '' ? (optional ? null : _('non-empty value')) : expected(type || 'string', value);

		if (!field.closest('body') && !field.closest('[data-field]'))
			return true;

		if (wrong != null) {
			wrong = _('Expecting: %s').format(wrong);
		}
		else if (typeof(own) == 'function') {
			const said = own(value);

			wrong = said === true ? null : String(said);
		}

		field.classList.toggle('cbi-input-invalid', wrong != null);

		if (wrong != null) {
			field.setAttribute('data-tooltip', wrong);
			field.setAttribute('data-tooltip-style', 'error');
		}
		else {
			field.removeAttribute('data-tooltip');
			field.removeAttribute('data-tooltip-style');
		}

		field.dispatchEvent(new CustomEvent(wrong != null ? 'validation-failure' : 'validation-success', { bubbles: true, detail: { message: wrong } }));

		return wrong == null;
	};

	(events.length ? events : [ 'blur', 'keyup' ]).forEach(name => field.addEventListener(name, validate));
	validate();

	return validate;
};

/* --- widgets --- */

const Widget = baseclass.extend({
	input() { return this.node.matches('input, select, textarea') ? this.node : this.node.querySelector('input, select, textarea') },
	getValue() { return this.input().value },
	setValue(value) { this.input().value = value ?? '' },
	isValid() { return this.valid !== false },
	isChanged() { return this.node.getAttribute('data-changed') == 'true' },
	getValidationError() { return this.isValid() ? '' : this.wrong },

	triggerValidation() {
		const before = this.isValid();

		if (this.validator)
			this.validator();

		return before != this.isValid();
	},

	setPlaceholder(text) { this.input().setAttribute('placeholder', text) },

	/* On `updates` the value is looked at, on `changes` it is taken for changed. */
	wire(node, target, updates, changes) {
		const tell = (name, event) => target.addEventListener(event, () => node.dispatchEvent(new CustomEvent(name, { bubbles: true })));
		const { datatype, validate, optional } = this.options;

		this.node = node;
		updates.forEach(event => tell('widget-update', event));

		if (datatype || validate) {
			node.addEventListener('validation-success', () => { this.valid = true });
			node.addEventListener('validation-failure', ev => { this.valid = false; this.wrong = ev.detail.message });
			this.validator = addValidator(target, datatype, optional ?? true, validate, ...updates);
		}

		changes.forEach(event => target.addEventListener(event, () => node.setAttribute('data-changed', true)));
		changes.forEach(event => tell('widget-change', event));
		dom.bindClassInstance(node, this);

		return node;
	}
});

const Textfield = Widget.extend({
	__init__(value, options) { Object.assign(this, { value, options: options || {} }) },

	render() {
		const { id, placeholder, disabled, readonly, maxlength } = this.options;
		const input = E('input', { 'id': id ? 'widget.' + id : null, 'type': 'text', 'class': 'cbi-input-text', 'value': this.value, 'maxlength': maxlength,
			'placeholder': placeholder, 'disabled': disabled ? '' : null, 'readonly': readonly ? '' : null });

		return this.wire(E('div', { 'id': id }, [ input ]), input, [ 'keyup', 'blur' ], [ 'change' ]);
	}
});

const Hiddenfield = Widget.extend({
	__init__(value, options) { Object.assign(this, { value, options: options || {} }) },
	render() { return this.wire(E('input', { 'id': this.options.id, 'type': 'hidden', 'value': this.value }), E('i'), [], []) }
});

const Checkbox = Widget.extend({
	__init__(value, options) { Object.assign(this, { value, options: Object.assign({ value_enabled: '1', value_disabled: '0' }, options) }) },

	render() {
		const { id, value_enabled, disabled } = this.options;
		const own = 'cb%08x'.format(Math.random() * 0xffffffff);
		const input = E('input', { 'id': own, 'type': 'checkbox', 'value': value_enabled, 'checked': this.value == value_enabled ? '' : null,
			'disabled': disabled ? '' : null, 'data-widget-id': id ? 'widget.' + id : null });

		return this.wire(E('div', { 'id': id, 'class': 'cbi-checkbox' }, [ input, E('label', { 'for': own }) ]), input, [ 'click', 'blur' ], [ 'change' ]);
	},

	isChecked() { return this.input().checked },
	getValue() { return this.isChecked() ? this.options.value_enabled : this.options.value_disabled },
	setValue(value) { this.input().checked = value == this.options.value_enabled }
});

const keysOf = (choices, sort) => Array.isArray(sort) ? sort : sort === true ? Object.keys(choices).sort(L.naturalCompare) : Object.keys(choices);

const Select = Widget.extend({
	__init__(value, choices, options) {
		Object.assign(this, { value: [ value ?? '' ].flat()[0] ?? '', choices: choices || {}, options: Object.assign({ widget: 'select' }, options) });

		if ('' in this.choices)
			this.options.optional = true;
	},

	render() {
		const { id, optional, placeholder, sort, widget, disabled } = this.options;
		const keys = keysOf(this.choices, sort);
		const off = disabled ? '' : null;

		if (widget == 'radio') {
			const node = E('div', { 'id': id }, keys.map((key, at) => E('span', { 'class': 'cbi-radio' }, [
				E('input', { 'id': 'widget.%s.%d'.format(id, at), 'name': id, 'type': 'radio', 'class': 'cbi-input-radio', 'value': key,
					'checked': this.value == key ? '' : null, 'disabled': off }),
				E('label', { 'for': 'widget.%s.%d'.format(id, at) }),
				E('span', { 'click': ev => ev.currentTarget.parentNode.querySelector('input').click() }, [ this.choices[key] ?? key ])
			])));

			return this.wire(node, node, [ 'change', 'click' ], [ 'change' ]);
		}

		const choice = (key, label) => E('option', { 'value': key, 'selected': this.value == key ? '' : null }, [ label ]);
		const select = E('select', { 'id': id ? 'widget.' + id : null, 'class': 'cbi-input-select', 'disabled': off }, [
			optional ? choice('', this.choices[''] ?? placeholder ?? _('-- Please choose --')) : null,
			...keys.filter(key => key != '').map(key => choice(key, this.choices[key] ?? key))
		]);

		return this.wire(E('div', { 'id': id }, [ select ]), select, [ 'change', 'click', 'blur' ], [ 'change' ]);
	},

	getValue() { return this.options.widget == 'radio' ? this.node.querySelector('input:checked')?.value ?? null : this.input().value },
	setValue(value) {
		if (this.options.widget == 'radio')
			this.node.querySelectorAll('input').forEach(input => { input.checked = input.value == value });
		else
			this.input().value = value ?? '';
	}
});

const Dropdown = Widget.extend({
	__init__(value, choices, options) {
		this.values = value == null || value === '' ? [] : [ value ].flat();
		this.choices = choices || {};
		this.options = Object.assign({ sort: true, multiple: Array.isArray(value), optional: true, display_items: 3, create: false,
			select_placeholder: _('-- Please choose --'), custom_placeholder: _('-- custom --') }, options);
	},

	render() {
		const { id, multiple, optional, disabled, sort, create, datatype, validate, placeholder, custom_placeholder } = this.options;
		const keys = [ ...new Set([ ...keysOf(this.choices, sort), ...(create || multiple ? this.values : []) ]) ];
		const list = this.list = E('ul', { 'tabindex': -1 }, keys.map(key => this.item(key)));

		if (!multiple && optional && !('' in this.choices))
			list.prepend(E('li', { 'placeholder': '' }, [ this.options.select_placeholder ?? placeholder ]));

		if (create) {
			const input = E('input', { 'type': 'text', 'class': 'create-item-input', 'placeholder': custom_placeholder ?? placeholder,
				'keydown': ev => this.created(ev) });

			if (datatype || validate)
				addValidator(input, datatype, true, validate);

			list.appendChild(E('li', { 'data-value': '-', 'unselectable': '' }, [ input ]));
		}

		if (!multiple && !list.querySelector('[selected]') && list.firstElementChild)
			list.firstElementChild.setAttribute('selected', '');

		const node = E('div', { 'id': id, 'class': 'cbi-dropdown', 'multiple': multiple ? '' : null, 'optional': optional ? '' : null,
			'disabled': disabled ? '' : null, 'tabindex': 0, 'click': ev => this.clicked(ev), 'keydown': ev => this.pressed(ev),
			'cbi-dropdown-close': () => this.close() }, [
			list, E('span', { 'class': 'more', 'tabindex': -1 }, [ '···' ]), E('span', { 'class': 'open', 'tabindex': -1 }, [ '▾' ]), E('div', {})
		]);

		this.node = node;
		this.show();
		addEventListener('click', ev => !node.contains(ev.target) && this.close());

		return this.wire(node, node, [ 'cbi-dropdown-open', 'cbi-dropdown-close' ], [ 'cbi-dropdown-change', 'cbi-dropdown-close' ]);
	},

	item(key) {
		const label = this.choices[key];
		const content = [ dom.elem(label) ? label.cloneNode(true) : label ?? key ];

		return E('li', { 'data-value': key, 'selected': this.values.includes(key) ? '' : null }, this.options.multiple
			? [ E('form', {}, [ E('input', { 'type': 'checkbox', 'tabindex': -1, 'click': ev => ev.preventDefault() }) ]), E('label', {}, content) ] : content);
	},

	/* What of the list is shown while it is closed, and the values as hidden fields. */
	show() {
		const chosen = [ ...this.list.children ].filter(li => li.hasAttribute('selected'));
		const values = chosen.filter(li => !li.hasAttribute('placeholder')).map(li => li.getAttribute('data-value'));
		const limit = this.options.multiple ? this.options.display_items : 1;

		[ ...this.list.children ].forEach(li => {
			const at = chosen.indexOf(li);

			at >= 0 && at < limit ? li.setAttribute('display', at) : li.removeAttribute('display');

			if (li.querySelector('form'))
				li.querySelector('input').checked = at >= 0;
		});
		this.node.toggleAttribute('more', chosen.length > limit);
		this.node.toggleAttribute('empty', chosen.length == 0);
		dom.content(this.node.querySelector('.more'), [ chosen.length ? '···' : this.options.select_placeholder ?? this.options.placeholder ]);
		dom.content(this.node.lastElementChild, values.map(value => E('input', { 'type': 'hidden', 'value': value })));
		this.node.value = values.join(' ');

		const found = values.map(value => ({ value, element: chosen.find(li => li.getAttribute('data-value') == value),
			text: chosen.find(li => li.getAttribute('data-value') == value).innerText }));

		this.node.dispatchEvent(new CustomEvent('cbi-dropdown-change', { bubbles: true, detail: Object.assign({ instance: this, element: this.node },
			this.options.multiple ? { values: found } : { value: found[0] ?? null }) }));
	},

	open() {
		document.querySelectorAll('.cbi-dropdown[open]').forEach(other => other.dispatchEvent(new CustomEvent('cbi-dropdown-close')));

		const preview = this.list.cloneNode(true);

		preview.classList.add('preview');
		this.list.classList.add('dropdown');
		this.list.after(preview);
		this.node.setAttribute('open', '');
		this.list.style.top = this.node.offsetHeight + 'px';
		[ ...this.list.children ].forEach(li => !li.hasAttribute('unselectable') && li.setAttribute('tabindex', 0));
		(this.list.querySelector('[selected]') || this.list.firstElementChild)?.focus();
	},

	close(focus) {
		if (!this.node.hasAttribute('open'))
			return;

		this.node.querySelector('ul.preview').remove();
		this.list.classList.remove('dropdown');
		this.list.style.top = '';
		this.node.removeAttribute('open');
		[ ...this.list.children ].forEach(li => li.removeAttribute('tabindex'));

		if (focus)
			this.node.focus();

		this.show();
	},

	toggle(li, state) {
		const { multiple, optional } = this.options;

		if (li.hasAttribute('unselectable'))
			return;

		if (!multiple) {
			this.list.querySelectorAll('[selected]').forEach(other => other.removeAttribute('selected'));
			li.setAttribute('selected', '');
			this.close(true);
		}
		else if (optional || !li.hasAttribute('selected') || this.list.querySelectorAll('[selected]').length > 1) {
			li.toggleAttribute('selected', state);
		}

		this.show();
	},

	clicked(ev) {
		const li = ev.target.closest('li');

		if (this.options.disabled)
			return;

		if (!this.node.hasAttribute('open'))
			this.open();
		else if (li && this.list.contains(li))
			li.hasAttribute('unselectable') ? li.querySelector('input')?.focus() : this.toggle(li);
		else
			this.close(true);

		ev.preventDefault();
		ev.stopPropagation();
	},

	pressed(ev) {
		const li = ev.target.closest('li');

		if (ev.target.matches('input') || this.options.disabled)
			return;

		if (!this.node.hasAttribute('open')) {
			if (/^Arrow/.test(ev.key)) {
				this.open();
				ev.preventDefault();
			}
			return;
		}

		switch (ev.key) {
		case 'Escape': this.close(true); ev.stopPropagation(); return;
		case 'Enter': if (li && !li.hasAttribute('selected')) this.toggle(li); this.close(true); break;
		case ' ': if (li) this.toggle(li); break;
		case 'ArrowUp': li?.previousElementSibling?.focus(); break;
		case 'ArrowDown': (li?.nextElementSibling?.querySelector('.create-item-input') || li?.nextElementSibling)?.focus(); break;
		default: return;
		}

		ev.preventDefault();
	},

	created(ev) {
		const input = ev.target;

		if (ev.key == 'Escape') {
			this.close(true);
			ev.stopPropagation();
		}
		else if (ev.key == 'Enter') {
			ev.preventDefault();

			if (input.classList.contains('cbi-input-invalid'))
				return;

			(this.options.multiple ? input.value.split(/\s+/) : [ input.value.trim() ]).filter(value => value != '').forEach(value => this.create(value));
			input.value = '';
		}
	},

	create(value) {
		let li = [ ...this.list.children ].find(one => one.getAttribute('data-value') === value);

		if (!li) {
			if (!this.options.multiple)
				this.list.querySelector('li[created]')?.remove();

			li = this.item(value);
			li.setAttribute('created', '');
			this.list.insertBefore(li, this.options.create ? this.list.lastElementChild : null);
		}

		this.toggle(li, true);
	},

	addChoices(values, labels) {
		L.toArray(values).forEach(value => {
			this.choices[value] ??= labels?.[value] ?? value;

			if (![ ...this.list.children ].some(li => li.getAttribute('data-value') === value))
				this.list.insertBefore(this.item(value), this.options.create ? this.list.lastElementChild : null);
		});
	},

	getValue() {
		const values = [ ...this.node.lastElementChild.children ].map(input => input.value);

		return this.options.multiple ? values : values[0];
	},

	setValue(value) {
		const wanted = value == null || value === '' ? [] : [ value ].flat();

		if (this.options.create)
			wanted.forEach(one => this.create(one));

		[ ...this.list.children ].forEach(li => li.toggleAttribute('selected', wanted.includes(li.getAttribute('data-value'))));

		if (!this.options.multiple && !this.list.querySelector('[selected]'))
			this.list.querySelector('[placeholder]')?.setAttribute('selected', '');

		this.show();
	}
});

const Combobox = Dropdown.extend({
	__init__(value, choices, options) { this.super('__init__', [ value, choices, Object.assign({}, options, { multiple: false, create: true, optional: true }) ]) }
});

/* A button with other meanings behind its arrow. */
const ComboButton = Dropdown.extend({
	__init__(value, choices, options) { this.super('__init__', [ value, choices, Object.assign({}, options, { multiple: false, create: false, optional: false }) ]) },

	show() {
		this.super('show');
		this.node.className = 'cbi-dropdown ' + (this.options.classes?.[this.getValue()] ?? '');
	},

	clicked(ev) {
		if (this.node.hasAttribute('open') || ev.target.matches('.open'))
			return this.super('clicked', ev);

		if (this.options.click && !this.options.disabled)
			return this.options.click.call(this.node, ev, this.getValue());
	}
});

const DynamicList = Widget.extend({
	__init__(values, choices, options) {
		Object.assign(this, { values: values == null || values === '' ? [] : [ values ].flat(), choices: choices ? Object.assign({}, choices) : null,
			options: Object.assign({}, options, { multiple: false, optional: true }) });
	},

	render() {
		const { id, placeholder, disabled, datatype, validate } = this.options;
		const adder = E('div', { 'class': 'add-item control-group' });
		const node = this.node = E('div', { 'id': id, 'class': 'cbi-dynlist', 'disabled': disabled ? '' : null, 'click': ev => this.clicked(ev),
			'keydown': ev => this.pressed(ev) }, [ adder ]);

		if (this.choices) {
			adder.appendChild(new Combobox(null, this.choices, Object.assign({}, this.options, { id: null, select_placeholder: placeholder ?? _('-- Please choose --') })).render());
			node.addEventListener('cbi-dropdown-change', ev => this.chosen(ev));
		}
		else {
			const input = E('input', { 'id': id ? 'widget.' + id : null, 'type': 'text', 'class': 'cbi-input-text', 'placeholder': placeholder,
				'disabled': disabled ? '' : null });

			adder.append(input, E('div', { 'class': 'btn cbi-button cbi-button-add' }, [ '+' ]));

			if (datatype || validate)
				addValidator(input, datatype, true, validate);
		}

		this.values.forEach(value => this.add(value));

		const validator = this.options.validate;

		/* Each value was looked at when it was typed; the list as a whole is handed to the option's own check. */
		this.options = Object.assign({}, this.options, { datatype: null });
		Object.defineProperty(node, 'value', { get: () => this.getValue().join(' ') });
		this.options.validate = validator ? () => true : null;
		this.wire(node, node, [ 'cbi-dynlist-change' ], [ 'cbi-dynlist-change' ]);
		node.addEventListener('validation-failure', ev => { this.valid = ev.target === node ? this.valid : false; this.wrong = ev.detail.message });

		return node;
	},

	add(value, flash) {
		const label = this.choices?.[value];

		if (!this.items().includes(value))
			this.node.lastElementChild.before(E('div', { 'class': flash ? 'item flash' : 'item', 'tabindex': 0 }, [
				E('span', {}, [ dom.elem(label) ? label.cloneNode(true) : label ?? value ]), E('input', { 'type': 'hidden', 'value': value })
			]));

		this.changed(value);
	},

	changed(value) { this.node.dispatchEvent(new CustomEvent('cbi-dynlist-change', { bubbles: true, detail: { instance: this, element: this.node, value } })) },
	items() { return [ ...this.node.querySelectorAll('.item > input[type="hidden"]') ].map(input => input.value) },

	drop(item) {
		const value = item.querySelector('input').value;

		this.node.querySelectorAll('.cbi-dropdown li').forEach(li => li.getAttribute('data-value') === value && li.removeAttribute('unselectable'));
		item.remove();
		this.changed(value);
	},

	/* The dropdown's choice becomes an item, and the dropdown is empty again. */
	chosen(ev) {
		const { instance, value } = ev.detail;

		if (value == null)
			return;

		value.element.setAttribute('unselectable', '');
		value.element.removeAttribute('selected');
		instance.list.querySelector('[placeholder]')?.setAttribute('selected', '');
		instance.show();
		this.add(value.value, true);
	},

	/* An item's cross is drawn behind it: a press there removes it. */
	clicked(ev) {
		const item = ev.target.closest('.item');

		if (this.options.disabled)
			return;

		if (item && item.getBoundingClientRect().right - ev.clientX <= (parseFloat(getComputedStyle(item, '::after').width) || 0))
			this.drop(item);
		else if (ev.target.matches('.cbi-button-add'))
			this.take(ev.target.previousElementSibling);
	},

	take(input) {
		if (input.value === '' || input.classList.contains('cbi-input-invalid'))
			return;

		this.add(input.value, true);
		input.value = '';
	},

	pressed(ev) {
		const item = ev.target.closest('.item');

		if (this.options.disabled)
			return;

		if (item && (ev.key == 'Backspace' || ev.key == 'Delete')) {
			const next = ev.key == 'Backspace' ? item.previousElementSibling : item.nextElementSibling;

			(next?.matches('.item') ? next : next?.firstElementChild)?.focus();
			this.drop(item);
		}
		else if (ev.key == 'Enter' && ev.target.matches('.cbi-input-text')) {
			this.take(ev.target);
			ev.preventDefault();
		}
	},

	getValue() {
		const typed = this.node.querySelector('.add-item > input[type="text"]');
		const values = this.items();

		return typed && /\S/.test(typed.value) && !typed.classList.contains('cbi-input-invalid') && !values.includes(typed.value) ? [ ...values, typed.value ] : values;
	},

	setValue(values) {
		this.node.querySelectorAll('.item').forEach(item => this.drop(item));
		(values == null || values === '' ? [] : [ values ].flat()).forEach(value => this.add(value));
	}
});

/* --- tabs --- */

const tabs = {
	initTabGroup(nodes) {
		const panes = [ ...nodes ].filter(pane => pane.getAttribute?.('data-tab') != null);

		if (!panes.length || panes[0].parentNode.getAttribute('data-initialized') == 'true')
			return;

		const group = panes[0].parentNode;
		const shown = panes.find(pane => pane.getAttribute('data-tab-active') == 'true') || panes[0];

		group.before(E('ul', { 'class': 'cbi-tabmenu' }, panes.map(pane => E('li', {
			'class': pane === shown ? 'cbi-tab' : 'cbi-tab-disabled', 'data-tab': pane.getAttribute('data-tab')
		}, [ E('a', { 'href': '#', 'click': ev => { ev.preventDefault(); this.turn(group, pane) } }, [ pane.getAttribute('data-tab-title') ]) ]))));
		group.setAttribute('data-initialized', true);
		this.turn(group, shown);
		this.updateTabs(null, group);
	},

	turn(group, shown) {
		[ ...group.children ].filter(pane => pane.hasAttribute('data-tab')).forEach(pane => {
			pane.setAttribute('data-tab-active', pane === shown);
			group.previousElementSibling.querySelector('[data-tab="%s"]'.format(pane.getAttribute('data-tab'))).className = pane === shown ? 'cbi-tab' : 'cbi-tab-disabled';
		});
		shown.dispatchEvent(new CustomEvent('cbi-tab-active', { detail: { tab: shown.getAttribute('data-tab') } }));
	},

	/* A pane without anything in it has no tab; one with wrong fields says how many. */
	updateTabs(ev, root) {
		(root || document).querySelectorAll('[data-tab-title]').forEach(pane => {
			const tab = pane.parentNode.previousElementSibling?.querySelector?.('[data-tab="%s"]'.format(pane.getAttribute('data-tab')));
			const wrong = pane.querySelectorAll('.cbi-input-invalid').length;

			if (!tab)
				return;

			tab.style.display = dom.isEmpty(pane, node => node.classList.contains('cbi-tab-descr')) ? 'none' : '';
			wrong ? tab.setAttribute('data-errors', wrong) : tab.removeAttribute('data-errors');
		});
	}
};

/* --- dialogs and messages --- */

const overlay = document.body.appendChild(E('div', { 'id': 'modal_overlay', 'tabindex': -1, 'keydown': ev => {
	if (ev.key == 'Escape')
		overlay.querySelector('.right > button, .right > .btn, .button-row > .btn')?.click();
} }, [ E('div', { 'class': 'modal', 'role': 'dialog', 'aria-modal': true }) ]));

const showModal = (title, children, ...classes) => {
	const dialog = overlay.firstElementChild;

	dialog.className = [ 'modal', ...classes ].join(' ');
	dom.content(dialog, E('h4', {}, title));
	dom.append(dialog, children);
	document.body.classList.add('modal-overlay-active');
	overlay.scrollTop = 0;
	overlay.focus();

	return dialog;
};

const hideModal = () => {
	document.body.classList.remove('modal-overlay-active');
	overlay.blur();
};

const addNotification = (title, children, ...classes) => {
	const place = document.querySelector('#maincontent');
	const text = E('div', { 'style': 'flex:10' });
	const message = E('div', { 'class': [ 'alert-message', 'fade-in', ...classes ].join(' '), 'style': 'display:flex' }, [
		text, E('div', { 'style': 'flex:1 1 auto; display:flex' }, [
			E('button', { 'class': 'btn', 'style': 'margin-left:auto; margin-top:auto', 'click': () => message.remove() }, [ _('Dismiss') ])
		])
	]);

	if (title != null)
		text.appendChild(E('h4', {}, title));

	dom.append(text, dom.elem(children) || Array.isArray(children) ? children : E('p', {}, children));

	return place.insertBefore(message, place.firstElementChild);
};

const showIndicator = (id, label, handler, style) => {
	const place = document.getElementById('indicators');
	let node = place.querySelector('[data-indicator="%s"]'.format(id));

	if (!node)
		node = place.appendChild(E('span', { 'data-indicator': id, 'data-clickable': handler ? true : null, 'click': handler }, [ '' ]));

	node.textContent = label;
	node.setAttribute('data-style', style == 'inactive' ? 'inactive' : 'active');
};

const createHandlerFn = (self, fn, ...args) => (...rest) => {
	const node = rest[0].currentTarget;

	node.classList.add('spinning');
	node.disabled = true;
	node.blur();
	Promise.resolve((typeof(fn) == 'string' ? self[fn] : fn).apply(self, [ ...args, ...rest ])).finally(() => {
		node.classList.remove('spinning');
		node.disabled = false;
	});
};

/* --- Save & Apply --- */

const bus = (method, params) => rpc.declare({ object: 'uci', method, params, reject: true });
const apply = bus('apply', [ 'rollback', 'timeout' ]);
const confirm = bus('confirm');
const revert = bus('revert', [ 'config' ]);

const changes = {
	changes: {},

	init() { return uci.changes().then(found => this.renderChangeIndicator(found)) },

	renderChangeIndicator(found) {
		const count = Object.values(found).reduce((sum, list) => sum + list.length, 0);

		this.changes = found;

		if (count)
			showIndicator('uci-changes', '%s: %d'.format(_('Unsaved Changes'), count), () => this.displayChanges());
		else
			document.querySelector('[data-indicator="uci-changes"]')?.remove();
	},

	displayChanges() {
		const line = (config, [ command, section, option, value ]) => {
			const place = [ config, section, option ].filter(part => part != null && command != 'add' && command != 'order').join('.');
			const text = command == 'add' ? 'uci add %s %s'.format(config, option) : command == 'remove' ? 'uci del ' + place
				: command == 'set' && value == null ? 'uci set %s.%s=%s'.format(config, section, option)
				: command == 'order' ? 'uci reorder %s.%s=%s'.format(config, section, option) : 'uci %s %s=%s'.format(command.replace('list-', '') + (command.startsWith('list') ? '_list' : ''), place, "'" + value + "'");

			return E(command == 'remove' ? 'del' : 'ins', {}, [ text ]);
		};

		showModal('%s / %s'.format(_('Configuration'), _('Changes')), [ E('div', { 'class': 'cbi-section' }, [
			E('div', { 'class': 'uci-change-list' }, Object.entries(this.changes).flatMap(([ config, list ]) =>
				[ E('h5', {}, [ '# /etc/config/' + config ]), ...list.map(change => line(config, change)) ])),
			E('div', { 'class': 'right' }, [
				E('button', { 'class': 'btn cbi-button', 'click': hideModal }, [ _('Close') ]), ' ',
				new ComboButton('0', { 0: _('Save & Apply'), 1: _('Apply unchecked') }, {
					classes: { 0: 'btn cbi-button cbi-button-positive important', 1: 'btn cbi-button cbi-button-negative important' },
					click: (ev, mode) => this.apply(mode == '0')
				}).render(), ' ',
				E('button', { 'class': 'btn cbi-button cbi-button-reset', 'click': () => this.revert() }, [ _('Revert') ])
			])
		]) ], 'uci-dialog');
	},

	displayStatus(type, content) {
		if (!type) {
			hideModal();
			poll.start();
			return;
		}

		poll.stop();
		dom.content(showModal([ '' ], [], 'alert-message', ...type.split(' ')), content);
	},

	say(type, text) { this.displayStatus(type, [ E('p', {}, [ text ]) ]) },

	/* The router takes the old configuration back if nobody confirms in time that it can still be reached. */
	async apply(checked) {
		const soon = seconds => new Promise(resolve => setTimeout(resolve, seconds * 1000));
		const { apply_rollback, apply_holdoff, apply_display } = L.env;

		this.say('notice spinning', _('Starting configuration apply…'));

		try {
			await apply(checked, checked ? apply_rollback : undefined);
		}
		catch (error) {
			const none = error.message.includes('code 5:');

			this.say(none ? 'notice' : 'warning', none ? _('There are no changes to apply') : _('Apply request failed with status %s').format(error.message));
			await soon(apply_display);
			this.displayStatus(false);
			return;
		}

		for (const deadline = Date.now() + apply_rollback * 1000; checked; await soon(1)) {
			const left = Math.floor((deadline - Date.now()) / 1000);

			if (left <= 0) {
				this.displayStatus('warning', [
					E('h4', {}, [ _('Configuration changes have been rolled back!') ]),
					E('div', { 'class': 'right' }, [ E('button', { 'class': 'btn', 'click': () => this.displayStatus(false) }, [ _('Dismiss') ]) ])
				]);
				return;
			}

			this.say('notice spinning', _('Applying configuration changes… %ds').format(left));

			if (left <= apply_rollback - apply_holdoff && await confirm().then(() => true, () => false))
				break;
		}

		document.dispatchEvent(new CustomEvent('uci-applied'));
		this.renderChangeIndicator({});
		this.say('notice', _('Configuration changes applied.'));
		await soon(apply_display);
		location.reload();
	},

	async revert() {
		this.say('notice spinning', _('Reverting configuration…'));
		await Promise.all(Object.keys(this.changes).map(config => revert(config)));
		document.dispatchEvent(new CustomEvent('uci-reverted'));
		location.reload();
	}
};

[ 'uci-loaded' ].forEach(name => document.addEventListener(name, () => changes.init()));

return baseclass.extend({
	__init__() { L.ui = this },

	AbstractElement: Widget, Textfield, Hiddenfield, Checkbox, Select, Dropdown, Combobox, ComboButton, DynamicList,
	tabs, changes, showModal, hideModal, addNotification, showIndicator, createHandlerFn, addValidator,

	addTimeLimitedNotification(title, children, milliseconds, ...classes) {
		const node = addNotification(title, children, ...classes);

		setTimeout(() => node.remove(), milliseconds);

		return node;
	}
});
