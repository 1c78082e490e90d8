'use strict';
'require baseclass';
'require dom';
'require uci';
'require ui';
'require rpc';

/* A stand-in for LuCI's form.js: maps, sections, a table with a dialog, and the options that settings need. */

const access = rpc.declare({ object: 'session', method: 'access', params: [ 'scope', 'object', 'function' ], expect: { access: false } });
const same = (one, other) => JSON.stringify(one ?? null) == JSON.stringify(other ?? null);
const plain = markup => {
	const node = E('div', {}, []);

	dom.append(node, dom.elem(markup) ? markup.cloneNode(true) : String(markup ?? ''));

	return node.textContent.trim();
};

const Element = baseclass.extend({
	__init__(title, description) { Object.assign(this, { title: title ?? '', description: description ?? '', children: [] }) },

	/* What may be a text with places for values, or a function. */
	titleFn(name, ...args) {
		const given = this[name];

		return given == null ? null : plain(typeof(given) == 'function' ? given.apply(this, args) : String(given).format(...args)) || null;
	},

	stripTags(text) { return plain(text) }
});

const Map_ = Element.extend({
	__init__(config, ...args) {
		this.super('__init__', args);
		Object.assign(this, { config, parsechain: [ config ], data: uci });
	},

	chain(config) { this.parsechain.push(config) },
	findElements(...args) { return this.root.querySelectorAll(args.length == 1 ? args[0] : '[%s="%s"]'.format(...args)) },
	findElement(...args) { return this.findElements(...args)[0] ?? null },

	section(kind, ...args) {
		const section = new kind(this, ...args);

		this.children.push(section);

		return section;
	},

	async load() {
		const [ writable ] = await Promise.all([ this.readonly ?? access('uci', this.config, 'write'), ...this.parsechain.map(config => this.data.load(config)) ]);

		if (writable === false)
			this.readonly = true;

		await Promise.all(this.children.map(section => section.load()));
	},

	parse() { return Promise.all(this.children.map(section => section.parse())) },

	async save(then, silent) {
		this.checkDepends();

		try {
			await this.parse();
			await (then ? then() : null);
			await this.data.save();
			await this.load();
		}
		catch (error) {
			if (!silent)
				ui.showModal(_('Save error'), [
					E('p', {}, [ _('An error occurred while saving the form:') ]),
					E('p', {}, [ E('em', { 'style': 'white-space:pre-wrap' }, [ error.message ]) ]),
					E('div', { 'class': 'right' }, [ E('button', { 'class': 'cbi-button', 'click': ui.hideModal }, [ _('Dismiss') ]) ])
				]);

			throw error;
		}

		return this.renderContents();
	},

	reset() { return this.renderContents() },
	render() { return this.load().then(() => this.renderContents()) },

	async renderContents() {
		const root = this.root ??= E('div', { 'id': 'cbi-' + this.config, 'class': 'cbi-map' });
		const nodes = await Promise.all(this.children.map(section => section.render()));

		dom.bindClassInstance(root, this);
		dom.content(root, this.title ? E('h2', { 'name': 'content' }, this.title) : []);

		if (this.description)
			root.appendChild(E('div', { 'class': 'cbi-map-descr' }, this.description));

		dom.append(root, this.tabbed ? E('div', { 'class': 'cbi-map-tabbed' }, nodes) : nodes);
		this.checkDepends();
		root.querySelectorAll('.cbi-map-tabbed, .cbi-section-node-tabbed').forEach(group => ui.tabs.initTabGroup(group.childNodes));

		return root;
	},

	lookupOption(name, id, config) {
		const node = this.findElement('data-field', name.includes('.') ? name : 'cbid.%s.%s.%s'.format(config ?? this.config, id, name));

		return node ? [ dom.findClassInstance(node), node.getAttribute('data-field').split('.')[2] ] : null;
	},

	/* An option that appears may make others appear: again until nothing changes. */
	checkDepends() {
		for (let round = 0; round < 10; round++)
			if (!this.children.map(section => section.checkDepends(round)).some(changed => changed))
				break;

		ui.tabs.updateTabs(null, this.root);
	},

	isDependencySatisfied(depends, config, id) {
		return !depends.length || depends.some(wanted => Object.entries(wanted).filter(([ name ]) => !name.startsWith('!')).every(([ name, value ]) => {
			const found = this.lookupOption(name, id, config);
			const now = found && found[0].isActive(found[1]) ? found[0].formvalue(found[1]) : null;

			return wanted['!contains'] ? (now ?? '').includes(value) : value instanceof RegExp ? value.test(now ?? '') : same(now, value);
		}) != !!wanted['!reverse']);
	}
});

/* --- sections --- */

const Section = Element.extend({
	__init__(map, type, ...args) {
		this.super('__init__', args);
		Object.assign(this, { map, sectiontype: type, config: map.config, addremove: false });
	},

	filter() { return true },
	configName() { return this.uciconfig ?? this.map.config },

	option(kind, ...args) {
		const option = new kind(this.map, this, ...args);

		this.children.push(option);

		return option;
	},

	tab(name, title, description) { (this.tabs ??= []).push(this.tabs[name] = { name, title, description }) },

	taboption(tab, ...args) { return Object.assign(this.option(...args), { tab }) },

	async load() {
		await Promise.all(this.cfgsections().flatMap(id => this.children.filter(option => !option.disable).map(async option =>
			option.cfgvalue(id, await option.load(id)))));
	},

	parse() { return Promise.all(this.cfgsections().flatMap(id => this.children.filter(option => this.parses(option)).map(option => option.parse(id)))) },
	parses() { return true },
	cfgvalue(id, name) { return this.getOption(name)?.cfgvalue(id) },
	formvalue(id, name) { return this.getOption(name)?.formvalue(id) },
	getOption(name) { return this.children.find(option => option.option == name) ?? null },
	getUIElement(id, name) { return this.getOption(name)?.getUIElement(id) ?? null },

	checkDepends(round) {
		let changed = false;

		for (const id of this.cfgsections())
			for (const option of this.children) {
				const active = option.checkDepends(id);

				changed = option.setActive(id, active) || changed;

				if (!round && active)
					option.triggerValidation(id);
			}

		return changed;
	},

	async options(id, tab, table) {
		const shown = this.children.filter(option => !option.disable && (tab == null || option.tab == tab));

		return E((await Promise.all(shown.map((option, at) => option.render(at, id, table)))).flat());
	},

	async renderUCISection(id) {
		if (!this.tabs)
			return this.options(id);

		return E(await Promise.all(this.tabs.map(async tab => E('div', {
			'id': 'container.%s.%s.%s'.format(this.configName(), id, tab.name), 'data-tab': tab.name, 'data-tab-title': tab.title
		}, [ tab.description ? E('div', { 'class': 'cbi-tab-descr' }, tab.description) : null, await this.options(id, tab.name) ]))));
	},

	frame(kind, name) {
		const tabbed = this.map.tabbed && !this.parentoption;
		const node = E('div', { 'id': name ? 'cbi-%s-%s'.format(this.configName(), name) : null, 'class': kind,
			'data-tab': tabbed ? this.sectiontype : null, 'data-tab-title': tabbed ? this.title || this.sectiontype : null });

		if (this.title)
			node.appendChild(E('h3', {}, this.title));
		if (this.description)
			node.appendChild(E('div', { 'class': 'cbi-section-descr' }, this.description));

		dom.bindClassInstance(node, this);

		return node;
	},

	body(id, nodes) {
		return E('div', { 'id': 'cbi-%s-%s'.format(this.configName(), id), 'class': 'cbi-section-node' + (this.tabs ? ' cbi-section-node-tabbed' : ''),
			'data-section-id': id }, nodes);
	},

	press(label, kind, handler, ...args) {
		return E('button', { 'class': 'cbi-button ' + kind, 'title': label, 'click': ui.createHandlerFn(this, handler, ...args), 'disabled': this.map.readonly || null },
			[ label ]);
	}
});

const NamedSection = Section.extend({
	__init__(map, id, ...args) {
		this.super('__init__', [ map, ...args ]);
		this.section = id;
	},

	cfgsections() { return [ this.section ] },

	handleAdd() {
		this.map.data.add(this.configName(), this.sectiontype, this.section);
		return this.map.save(null, true);
	},

	handleRemove() {
		this.map.data.remove(this.configName(), this.section);
		return this.map.save(null, true);
	},

	async render() {
		const there = this.map.data.get(this.configName(), this.section) != null;
		const node = this.frame('cbi-section', there ? null : this.section);

		if (there && this.addremove)
			node.appendChild(E('div', { 'class': 'cbi-section-remove right' }, [ this.press(_('Delete'), '', 'handleRemove') ]));
		if (there)
			node.appendChild(this.body(this.section, await this.renderUCISection(this.section)));
		else if (this.addremove)
			node.appendChild(this.press(_('Add'), 'cbi-button-add', 'handleAdd'));

		return node;
	}
});

const TypedSection = Section.extend({
	cfgsections() {
		return this.map.data.sections(this.configName(), this.sectiontype).map(section => section['.name']).filter(id => this.filter(id));
	},

	handleAdd(ev, name) {
		this.map.data.add(this.configName(), this.sectiontype, name);
		return this.map.save(null, true);
	},

	handleRemove(id) {
		this.map.data.remove(this.configName(), id);
		return this.map.save(null, true);
	},

	renderSectionPlaceholder() { return E('em', {}, [ _('This section contains no values yet') ]) },

	renderSectionAdd(kind) {
		const label = this.titleFn('addbtntitle') ?? _('Add');
		const node = E('div', { 'class': 'cbi-section-create ' + (kind ?? '') });

		if (!this.addremove)
			return E([]);

		if (this.anonymous) {
			node.appendChild(this.press(label, 'cbi-button-add', 'handleAdd'));
			return node;
		}

		const name = E('input', { 'type': 'text', 'class': 'cbi-section-create-name', 'disabled': this.map.readonly || null });
		const add = this.press(label, 'cbi-button-add', ev => name.classList.contains('cbi-input-invalid') ? null : this.handleAdd(ev, name.value));

		dom.append(node, [ E('div', {}, name), add ]);
		add.disabled = true;

		if (!this.map.readonly)
			ui.addValidator(name, 'uciname', true, value => {
				add.disabled = value === '';
				return value !== '' || _('Expecting: %s').format(_('non-empty value'));
			}, 'blur', 'keyup');

		return node;
	},

	async render() {
		const ids = this.cfgsections();
		const nodes = await Promise.all(ids.map(id => this.renderUCISection(id)));

		return this.renderContents(ids, nodes);
	},

	renderContents(ids, nodes) {
		const node = this.frame('cbi-section', this.sectiontype);

		ids.forEach((id, at) => {
			if (this.addremove)
				node.appendChild(E('div', { 'class': 'cbi-section-remove right' }, [ this.press(_('Delete'), '', 'handleRemove', id) ]));
			if (!this.anonymous)
				node.appendChild(E('h3', {}, [ id.toUpperCase() ]));

			node.appendChild(this.body(id, nodes[at]));
		});

		dom.append(node, [ ids.length ? null : this.renderSectionPlaceholder(), this.renderSectionAdd() ]);

		return node;
	}
});

const activeMap = () => dom.findClassInstance(document.querySelector('body.modal-overlay-active #modal_overlay > .modal.cbi-modal > .cbi-map:not(.hidden)'));

const TableSection = TypedSection.extend({
	columns() { return this.children.filter(option => !option.disable && !option.modalonly) },
	cell(option, id, at) { return option.render(at, id, true) },
	async renderUCISection(id) { return E(await Promise.all(this.columns().map((option, at) => this.cell(option, id, at)))) },

	renderContents(ids, nodes) {
		const node = this.frame('cbi-section cbi-tblsection', this.sectiontype);
		const table = E('table', { 'class': 'table cbi-section-table' }, [ this.renderHeaderRows() ]);

		ids.forEach((id, at) => {
			const name = this.titleFn('sectiontitle', id) ?? id;

			table.appendChild(E('tr', { 'id': 'cbi-%s-%s'.format(this.configName(), id), 'class': 'tr cbi-section-table-row', 'data-sid': id, 'data-section-id': id,
				'data-title': name && (!this.anonymous || this.sectiontitle) ? name : null }, [ nodes[at], this.renderRowActions(id) ]));
		});

		if (!ids.length)
			table.appendChild(E('tr', { 'class': 'tr cbi-section-table-row placeholder' }, [ E('td', { 'class': 'td' }, [ this.renderSectionPlaceholder() ]) ]));

		dom.append(node, [ table, this.renderSectionAdd('cbi-tblsection-create') ]);

		return node;
	},

	renderHeaderRows() {
		const named = !this.anonymous || this.sectiontitle;
		const row = (kind, content, title) => E('tr', { 'class': 'tr cbi-section-table-%s %s'.format(kind, named ? 'named' : 'anonymous'), 'data-title': title }, [
			...this.columns().map(option => E('th', { 'class': 'th cbi-section-table-cell', 'data-widget': option.__name__ }, option[content] || [])),
			this.hasActions() ? E('th', { 'class': 'th cbi-section-table-cell cbi-section-actions' }) : null
		]);

		return E([ row('titles', 'title', named ? _('Name') : null),
			...(!this.nodescriptions && this.columns().some(option => option.description) ? [ row('descr', 'description') ] : []) ]);
	},

	hasActions() { return this.addremove || this.extedit },

	renderRowActions(id) {
		if (!this.hasActions())
			return E([]);

		return E('td', { 'class': 'td cbi-section-table-cell nowrap cbi-section-actions' }, E('div', {}, [
			this.edits ? E('button', { 'class': 'btn cbi-button cbi-button-edit', 'title': _('Edit'),
				'click': ui.createHandlerFn(this, 'renderMoreOptionsModal', id) }, [ _('Edit') ]) : null,
			this.addremove ? this.press(this.titleFn('removebtntitle', id) ?? _('Delete'), 'btn cbi-button-remove', 'handleRemove', id) : null
		]));
	}
});

const GridSection = TableSection.extend({
	edits: true,

	hasActions() { return true },
	parses(option) { return option.editable && !option.modalonly },

	cell(option, id, at) {
		if (option.editable)
			return option.render(at, id, true);

		const value = option.textvalue(id);

		return E('td', { 'class': 'td cbi-value-field', 'data-title': plain(option.title) || null, 'data-description': plain(option.description) || null,
			'data-name': option.option, 'data-widget': 'CBI.DummyValue' }, value ?? E('em', {}, [ _('none') ]));
	},

	handleAdd(ev, name) {
		this.map.addedSection = this.map.data.add(this.configName(), this.sectiontype, name);

		return this.renderMoreOptionsModal(this.map.addedSection);
	},

	addModalOptions() {},

	async renderMoreOptionsModal(id) {
		const parent = this.map;
		const map = Object.assign(new Map_(parent.config), { parent, readonly: parent.readonly });
		const section = Object.assign(map.section(NamedSection, id, this.sectiontype), { tabs: this.tabs });
		const title = this.titleFn('modaltitle', id) ?? '%s - %s'.format(plain(parent.title), this.titleFn('sectiontitle', id) ?? id);

		for (const option of this.children.filter(one => one.modalonly !== false)) {
			const { map: ignored, section: ignoredToo, option: name, title: label, description, ...rest } = option;

			Object.assign(section.option(option.constructor, name, label, description), rest);
		}

		await this.addModalOptions(section, id);

		const node = await map.render();

		ui.showModal(title, [ node, E('div', { 'class': 'button-row' }, [
			E('button', { 'class': 'btn cbi-button', 'click': ui.createHandlerFn(this, 'handleModalCancel', map) }, [ _('Dismiss') ]), ' ',
			E('button', { 'class': 'btn cbi-button cbi-button-positive important', 'click': ui.createHandlerFn(this, 'handleModalSave', map),
				'disabled': map.readonly || null }, [ _('Save') ])
		]) ], 'cbi-modal');
	},

	handleModalCancel(map, ev, saved) {
		if (this.map.addedSection != null && !saved)
			this.map.data.remove(this.configName(), this.map.addedSection);

		delete this.map.addedSection;
		ui.hideModal();
	},

	/* A wrong value keeps the dialog open; the field says what is right. */
	async handleModalSave(map, ev) {
		try {
			await activeMap().save(null, true);
			await this.map.load();
			await this.map.reset();
		}
		catch (error) {
			return;
		}

		this.handleModalCancel(map, ev, true);
	}
});

/* --- options --- */

const Value = Element.extend({
	__name__: 'CBI.Value',

	__init__(map, section, option, ...args) {
		this.super('__init__', args);
		Object.assign(this, { map, section, option, config: map.config, deps: [], rmempty: true, default: null, optional: false, retain: false });
	},

	depends(name, value) { this.deps.push(typeof(name) == 'string' ? { [name]: value } : name) },

	value(key, label) {
		(this.keylist ??= []).push(String(key));
		(this.vallist ??= []).push(dom.elem(label) ? label : String(label ?? key));
	},

	choices() { return this.keylist ? Object.fromEntries(this.keylist.map((key, at) => [ key, this.vallist[at] ])) : null },
	configName() { return this.uciconfig ?? this.section.uciconfig ?? this.map.config },
	place(id) { return [ this.configName(), this.ucisection ?? id, this.ucioption ?? this.option ] },
	cbid(id) { return 'cbid.%s.%s.%s'.format(this.configName(), id, this.option) },
	load(id) { return this.map.data.get(...this.place(id)) },

	cfgvalue(id, ...set) {
		this.loaded ??= {};

		if (set.length)
			this.loaded[id] = set[0];

		return this.loaded[id];
	},

	getUIElement(id) {
		const node = this.map.findElement('id', this.cbid(id));

		return node ? dom.findClassInstance(node) : null;
	},

	formvalue(id) { return this.getUIElement(id)?.getValue() ?? null },
	textvalue(id) {
		const value = this.cfgvalue(id) ?? this.default;

		return value == null ? null : '%h'.format(L.toArray(value).join(' '));
	},
	validate() { return true },
	isValid(id) { return this.getUIElement(id)?.isValid() ?? true },
	getValidationError(id) { return this.getUIElement(id)?.getValidationError() ?? '' },
	triggerValidation(id) { return this.getUIElement(id)?.triggerValidation() ?? true },
	checkDepends(id) { return this.map.isDependencySatisfied(this.deps, this.configName(), this.ucisection ?? id) },

	isActive(id) {
		const node = this.map.findElement('data-field', this.cbid(id));

		return node != null && !node.classList.contains('hidden');
	},

	setActive(id, active) {
		const node = this.map.findElement('data-field', this.cbid(id));

		if (!node || this.isActive(id) == active)
			return false;

		node.classList.toggle('hidden', !active);

		return true;
	},

	async parse(id) {
		const name = plain(this.title) || this.option;

		if (!this.isActive(id))
			return this.retain ? null : this.remove(id);
		if (!this.isValid(id))
			throw new TypeError(_('Option "%s" contains an invalid input value.').format(name) + ' ' + this.getValidationError(id));

		const value = this.formvalue(id);

		if (value != null && value != '')
			return this.forcewrite || !same(this.cfgvalue(id), value) ? this.write(id, value) : null;
		if (!this.rmempty && !this.optional)
			throw new TypeError(_('Option "%s" must not be empty.').format(name));

		return this.remove(id);
	},

	write(id, value) { return this.map.data.set(...this.place(id), value) },
	remove(id) { return this.map.data.unset(...this.place(id)) },

	async render(at, id, table) { return this.renderFrame(id, table, at, await this.renderWidget(id, at, await this.cfgvalue(id))) },

	renderFrame(id, table, at, widget) {
		const own = { 'id': 'cbi-%s-%s-%s'.format(this.configName(), id, this.option), 'data-index': at, 'data-field': this.cbid(id),
			'data-depends': this.deps.length ? this.deps : null };
		const kind = { 'data-name': this.option, 'data-widget': this.__name__ };
		const title = plain(this.title);
		const description = !table && this.description ? E('div', { 'class': 'cbi-value-description' }, this.description) : null;
		const node = table
			? E('td', Object.assign({ 'class': 'td cbi-value-field', 'data-title': title || null, 'data-description': plain(this.description) }, kind), [ E('div', own, [ widget ]) ])
			: E('div', Object.assign({ 'class': 'cbi-value' + (this.deps.length ? ' hidden' : '') }, own, kind), title == '' ? [ widget, description ] : [
				E('label', { 'class': 'cbi-value-title', 'for': 'widget.' + this.cbid(id), 'click': ev => {
					const field = ev.currentTarget.parentNode.querySelector('[id="%s"], [data-widget-id="%s"]'.format(...Array(2).fill(ev.currentTarget.getAttribute('for'))));

					field?.click();
					field?.focus();
				} }, this.title),
				E('div', { 'class': 'cbi-value-field' }, [ widget, description ])
			]);
		let before;

		node.addEventListener('widget-change', () => this.map.checkDepends());
		node.addEventListener('widget-change', ev => {
			const now = this.formvalue(id);

			if (this.onchange && !same(now, before))
				this.onchange(ev, id, before = now);
		});
		dom.bindClassInstance(node, this);

		return node;
	},

	widgetOptions(id, more) {
		return Object.assign({ id: this.cbid(id), sort: this.keylist, optional: this.optional || this.rmempty, datatype: this.datatype, placeholder: this.placeholder,
			validate: value => this.validate(id, value), disabled: this.readonly ?? this.map.readonly }, more);
	},

	renderWidget(id, at, found) {
		const value = found ?? this.default;
		const text = Array.isArray(value) ? value.join(' ') : value;
		const choices = this.choices();

		return (choices
			? new ui.Combobox(text, choices, this.widgetOptions(id, { select_placeholder: this.placeholder ?? _('unspecified') }))
			: new ui.Textfield(text, this.widgetOptions(id))).render();
	}
});

const DynamicList = Value.extend({
	__name__: 'CBI.DynamicList',
	renderWidget(id, at, found) { return new ui.DynamicList(L.toArray(found ?? this.default), this.choices(), this.widgetOptions(id)).render() }
});

const MultiValue = DynamicList.extend({
	__name__: 'CBI.MultiValue',
	renderWidget(id, at, found) {
		return new ui.Dropdown(L.toArray(found ?? this.default), this.choices(), this.widgetOptions(id, { multiple: true, create: this.create,
			select_placeholder: this.placeholder ?? _('-- Please choose --'), display_items: this.display_size ?? this.size ?? 3 })).render();
	}
});

const ListValue = Value.extend({
	__name__: 'CBI.ListValue',
	renderWidget(id, at, found) {
		return new ui.Select(found ?? this.default, this.choices(), this.widgetOptions(id, { optional: this.optional, datatype: null, widget: this.widget })).render();
	}
});

const Flag = Value.extend({
	__name__: 'CBI.FlagValue',

	__init__(...args) {
		this.super('__init__', args);
		Object.assign(this, { enabled: '1', disabled: '0', default: '0' });
	},

	renderWidget(id, at, found) {
		return new ui.Checkbox(found ?? this.default, this.widgetOptions(id, { datatype: null, value_enabled: this.enabled, value_disabled: this.disabled })).render();
	},

	formvalue(id) { return this.getUIElement(id)?.isChecked() ? this.enabled : this.disabled },
	textvalue(id) { return (this.cfgvalue(id) ?? this.default) == this.enabled ? _('Yes') : _('No') },

	async parse(id) {
		if (!this.isActive(id))
			return this.retain ? null : this.remove(id);

		const value = this.formvalue(id);

		return value == this.default && (this.optional || this.rmempty) ? this.remove(id) : this.write(id, value);
	}
});

const DummyValue = Value.extend({
	__name__: 'CBI.DummyValue',
	write() {},
	remove() {},
	renderWidget(id, at, found) {
		const value = found ?? this.default;

		return E([ E('div', {}, this.rawhtml ? value : [ value ]), new ui.Hiddenfield(value, { id: this.cbid(id) }).render() ]);
	}
});

/* A section within a section. */
const SectionValue = Value.extend({
	__name__: 'CBI.ContainerValue',

	__init__(map, section, option, kind, ...args) {
		this.super('__init__', [ map, section, option ]);
		this.subsection = Object.assign(new kind(map, ...args), { parentoption: this });
	},

	load() { return this.subsection.load() },
	parse() { return this.subsection.parse() },
	renderWidget() { return this.subsection.render() },
	checkDepends(id) {
		this.subsection.checkDepends();
		return this.super('checkDepends', [ id ]);
	},
	write() {},
	remove() {},
	cfgvalue() { return null },
	formvalue() { return null }
});

return baseclass.extend({ Map: Map_, AbstractSection: Section, AbstractValue: Value, NamedSection, TypedSection, TableSection, GridSection,
	Value, DynamicList, MultiValue, ListValue, Flag, DummyValue, SectionValue });
