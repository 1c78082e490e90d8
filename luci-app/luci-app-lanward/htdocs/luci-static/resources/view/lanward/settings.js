'use strict';
'require view';
'require form';
'require uci';
'require ui';
'require poll';
'require tools.lanward as lanward';
'require tools.lanward.options as table';
'require tools.lanward.values as values';

/* The configuration, by LuCI's own forms: saving, applying and the rollback are theirs. What is added: values are checked as the daemon
 * does it, what is not touched is not written, and what is wrong in the file is shown. */

const config = 'lanward';

/* What a section will hold in the file: the form's value where its field is shown, else what is there. */
function holds(option, id) {
	return name => {
		const other = option.section.children.find(child => child.option == name);

		if (!other)
			return null;

		const shown = other.getUIElement(id) && other.isActive(id);

		return values.shape(other.spec, shown ? other.formvalue(id) : other.cfgvalue(id));
	};
}

/* What is typed into a list's field and was not added to it: else it would be lost. */
function forgotten(element, check) {
	const field = element.node && element.node.querySelector('.add-item input[type="text"]');
	const text = field ? field.value.trim() : '';

	if (text == '' || element.getValue().indexOf(text) >= 0)
		return null;

	return check(text) || _('%s is typed in but not in the list: press Enter to add it, or clear the field.').format(text);
}

/* Says below a field what is wrong with it: LuCI shows a frame, and the words only to a mouse. */
function tell(element, wrong) {
	if (!element || !element.node || !element.node.parentNode)
		return;

	let node = element.node.parentNode.querySelector('.lanward-invalid');

	if (!node && wrong == null)
		return;

	if (!node) {
		node = E('div', { 'class': 'lanward-invalid', 'aria-live': 'polite' }, []);
		element.node.parentNode.insertBefore(node, element.node.nextSibling);
	}

	lanward.text(node, wrong || '');
	lanward.show(node, wrong != null);
}

/* What is pasted is judged as what is typed: a word that came or went only when the field is left would move the button that is being pressed. */
function listen(element, title) {
	if (!element || !element.node || element.lanwardListens)
		return;

	element.lanwardListens = true;

	/* Of checkboxes and lists LuCI's label does not reach the field. */
	element.node.querySelectorAll('input[data-widget-id], .cbi-input-text, .create-item-input').forEach(field => field.setAttribute('aria-label', title));
	element.node.addEventListener('input', ev => ev.target.dispatchEvent(new CustomEvent('keyup')));
}

function validate(id, value) {
	listen(this.getUIElement(id), this.title);

	const wrong = judge.call(this, id, value);

	tell(this.getUIElement(id), wrong);

	return wrong || true;
}

/* Null, or what is wrong with an option's value. */
function judge(id, value) {
	const spec = this.spec;
	const element = this.getUIElement(id);
	const text = value == null ? '' : String(value);

	/* A switch always has one of two values: what may be wrong is what the file has. */
	if (spec.kind == 'switch') {
		const old = this.cfgvalue(id);
		const wrong = (old == null || (element && element.isChanged())) ? null : values.check(spec, old);

		return wrong ? '%s: %s'.format(old, wrong) : null;
	}

	let wrong = null;
	const check = word => values.check(spec, word) || ((this.known && this.known.length && this.known.indexOf(word) < 0) ? _('There is none of that name: choose one of the list.') : null);

	if (!spec.many) {
		wrong = text == '' ? null : values.check(spec, text);
	}
	else {
		/* A list asks twice: for the text in its field, and without any for itself. */
		const words = text != '' ? text.split(' ') : (element ? values.shape(spec, element.getValue()) || [] : []);
		const bad = words.find(word => check(word) != null);

		if (bad != null)
			wrong = words.length == 1 && text != '' ? check(bad) : '%s: %s'.format(bad, check(bad));
		else if (text != '' && !spec.ordered && spec.kind != 'weekday')
			return null;
		else if (element && !spec.ordered)
			wrong = forgotten(element, check);
	}

	return wrong || values.whole(spec, holds(this, id));
}

/* What is set now, saved or not. */
const now = (spec, id) => values.shape(spec, uci.get(config, id, spec.name));
const same = (one, other) => JSON.stringify(one == null ? null : one) == JSON.stringify(other == null ? null : other);

/* What holds without the option, as the form has it. */
function absent(spec) {
	return spec.absent == null ? null : values.shape(spec, spec.absent);
}

/* Values that the file has and the form does not know are choices too, so that they are seen. */
function load(id) {
	const spec = this.spec;
	const value = now(spec, id);

	if (spec.kind == 'gate' || spec.kind == 'choice' || spec.kind == 'weekday') {
		const choices = spec.kind != 'gate' ? spec.choices : [ [ '', _('-- Please choose --') ],
			...uci.sections(config, 'gate').filter(gate => !gate['.anonymous']).map(gate => [ gate['.name'], gate['.name'] ]) ];
		const unknown = (value == null ? [] : (spec.many ? value : [ value ])).filter(word => !choices.some(choice => choice[0] == word));

		this.keylist = [];
		this.vallist = [];
		[ ...choices, ...unknown.map(word => [ word, word ]) ].forEach(choice => this.value(choice[0], choice[1]));
	}

	return (value != null && spec.ordered) ? value.join(' ') : value;
}

/* What is there of a type. Not by uci.get: of a whole section it takes what is not saved yet for what the router has. */
const there = (type, id) => uci.sections(config, type).find(section => section['.name'] == id);

/* A section that there is one of comes into the file with its first option. */
function set(spec, id, value) {
	if (!there(spec.type, id))
		uci.add(config, spec.type, id);

	uci.set(config, id, spec.name, value);
}

/* Only what is another: the file keeps its lines, and defaults that are not in it stay out. */
function write(id, value) {
	const spec = this.spec;
	const next = values.shape(spec, value);

	if (this.cfgvalue(id) == null && same(next, absent(spec)))
		uci.unset(config, id, spec.name);
	else if (!same(now(spec, id), next))
		set(spec, id, next);
}

/* Of a switch an option that was there stays there. */
function remove(id) {
	const spec = this.spec;

	if (spec.kind != 'switch' || this.cfgvalue(id) == null)
		uci.unset(config, id, spec.name);
	else if (now(spec, id) != spec.absent)
		set(spec, id, spec.absent);
}

function textvalue(id) {
	const value = this.cfgvalue(id);

	if (this.spec.kind == 'switch')
		return (value || this.spec.absent) == '1' ? _('Yes') : _('No');

	const text = value == null ? this.spec.absent : (Array.isArray(value) ? value.join(' ') : value);

	return text == null ? null : '%h'.format(text);
}

function widget(spec) {
	switch (spec.kind) {
	case 'switch':
		return form.Flag;
	case 'choice':
	case 'gate':
		return form.ListValue;
	case 'weekday':
		return form.MultiValue;
	}

	return (spec.many && !spec.ordered) ? form.DynamicList : form.Value;
}

/* What there is one of is shown even where the file has no such section. */
function single(section) {
	section.renderContents = function(data) {
		return form.NamedSection.prototype.renderContents.call(this, [ data[0] || {}, data[1] ]);
	};
}

/* Names are checked before a section is added: the file has one section of a name, whatever its type. */
function several(section, spec) {
	const kind = form.GridSection.prototype;
	const check = name => name == '' ? null : values.name(spec.type, name, uci.sections(config).map(other => ({ name: other['.name'], type: other['.type'] })));

	section.renderSectionAdd = function(...args) {
		const node = kind.renderSectionAdd.apply(this, args);
		const field = node.querySelector('.cbi-section-create-name');
		const button = node.querySelector('.cbi-button-add');

		if (!field || !button)
			return node;

		field.setAttribute('aria-label', spec.label);
		field.setAttribute('placeholder', spec.label);

		if (this.map.readonly !== true)
			ui.addValidator(field, 'string', true, name => {
				const wrong = check(name);

				button.disabled = name == '' || wrong != null;

				return wrong || true;
			}, 'blur', 'keyup');

		return node;
	};

	/* The dialog's saving draws the page anew: what was changed there is saved first. */
	const first = (map, next) => map.findElement('[data-changed="true"]') ? map.save(null, false).then(next) : next();

	section.handleAdd = function(ev, name) {
		return check(name) == null ? first(this.map, () => kind.handleAdd.call(this, ev, name)) : null;
	};

	section.renderMoreOptionsModal = function(...args) {
		return first(this.map, () => kind.renderMoreOptionsModal.apply(this, args));
	};

	/* A dialog that is not saved says nothing of its own: what is wrong is brought into sight. */
	section.handleModalSave = function(...args) {
		return Promise.resolve(kind.handleModalSave.apply(this, args)).then(() => {
			const wrong = [ ...document.querySelectorAll('#modal_overlay .lanward-invalid') ].find(node => node.textContent != '');

			if (wrong)
				wrong.scrollIntoView({ block: 'center' });
		});
	};

	section.sectiontitle = id => {
		const at = uci.sections(config, spec.type).findIndex(other => other['.name'] == id);
		const found = there(spec.type, id);

		return (found && found['.anonymous']) ? '@%s[%d]'.format(spec.type, at) : id;
	};
}

return view.extend({
	load() {
		const quietly = promise => Promise.resolve(promise).catch(() => null);

		return Promise.all([ lanward.hosts(), lanward.profiles(), this.fetch(), uci.load(config), quietly(uci.load('firewall')) ]);
	},

	fetch() {
		return lanward.call('status').then(status => ({ status: status }), error => ({ error: error }));
	},

	render(loaded) {
		const [ hosts, profiles, first ] = loaded;
		const map = this.map(hosts, profiles);

		return map.render().then(node => {
			const readonly = E('div', { 'class': 'alert-message notice' }, [ _('This session may look, but not change anything.') ]);
			const page = lanward.page([ readonly, this.renderProblems(), node ]);

			lanward.show(readonly, map.readonly == true);
			this.update(first);
			poll.add(() => this.fetch().then(answer => this.update(answer)));

			return page;
		});
	},

	/* What the daemon says of the configuration that it was given last. */
	renderProblems() {
		this.list = E('ul', { 'class': 'lanward-list' }, []);
		this.said = E('p', {}, []);
		this.box = E('div', { 'class': 'alert-message warning', 'role': 'status', 'style': 'display:none' }, [ this.said, this.list ]);

		return this.box;
	},

	update(answer) {
		const problems = answer.status ? lanward.list(answer.status.problems) : [];

		lanward.show(this.box, answer.error != null || problems.length > 0);
		lanward.text(this.said, answer.error ? answer.error.message : _('The daemon found mistakes in the configuration that was applied last:'));
		lanward.fill(this.list, problems, problem => [ E('code', {}, [ String(problem.option) ]), ': ', String(problem.message) ]);
	},

	map(hosts, profiles) {
		const map = new form.Map(config, _('Settings'),
			_('Everything in /etc/config/lanward. An empty field means what it shows in grey; what is not changed here is not written.'));

		map.tabbed = true;

		if (!L.hasViewPermission())
			map.readonly = true;

		/* An error is told, also where a section is removed. */
		map.save = function(done) {
			return form.Map.prototype.save.call(this, done, false);
		};

		table.sections.forEach(spec => {
			const section = this.section(map, spec);

			table.options.filter(option => option.type == spec.type).forEach(option => this.option(section, option, hosts, profiles));
		});

		return map;
	},

	section(map, spec) {
		if (!spec.single) {
			const section = map.section(form.GridSection, spec.type, spec.title, spec.about);

			section.addremove = true;
			section.anonymous = false;
			section.nodescriptions = true;
			section.addbtntitle = spec.add;
			section.modaltitle = id => '%s: %s'.format(spec.title, section.sectiontitle(id));
			several(section, spec);

			return section;
		}

		/* The daemon takes the first of the type where none has the right name, and says so. */
		const found = uci.sections(config, spec.type).map(one => one['.name']);
		const id = (found.length && found.indexOf(spec.type) < 0) ? found[0] : spec.type;
		const section = map.section(form.NamedSection, id, spec.type, spec.title, spec.about);

		single(section);

		return section;
	},

	/* What has to be one of those that there are, as far as that is known. */
	among(option, choices) {
		choices.forEach(choice => option.value(choice[0], choice[1]));
		option.known = choices.map(choice => choice[0]);
	},

	option(section, spec, hosts, profiles) {
		const option = section.option(widget(spec), spec.name, spec.title, spec.about);

		option.spec = spec;
		/* What is required is refused by the check, which says what would be right. */
		option.rmempty = true;
		option.retain = true;
		option.modalonly = spec.row ? null : true;
		option.forcewrite = true;
		option.load = load;
		option.validate = validate;
		option.write = write;
		option.remove = remove;
		option.textvalue = textvalue;

		if (spec.many && !spec.ordered)
			option.default = absent(spec);
		else if (spec.kind == 'switch' || spec.kind == 'choice')
			option.default = spec.absent == null ? null : spec.absent;
		else if (spec.absent != null)
			option.placeholder = spec.absent;

		if (spec.kind == 'choice' || spec.kind == 'weekday')
			spec.choices.forEach(choice => option.value(choice[0], choice[1]));
		else if (spec.kind == 'zone')
			this.among(option, uci.sections('firewall', 'zone').filter(zone => zone.name != null).map(zone => [ zone.name, zone.name ]));
		else if (spec.kind == 'profile')
			this.among(option, lanward.list(profiles && profiles.applications).map(application => [ application.id, application.name ]));
		else if (spec.kind == 'host')
			hosts.forEach(host => {
				[ host.mac, ...host.addresses ].filter(address => values.check(spec, address) == null)
					.forEach(address => option.value(address, host.name != '' ? '%s (%s)'.format(host.name, address) : address));
			});

		/* Ports that are there are shown, whatever the level is. */
		if (spec.type == 'lan_only' && spec.name == 'port') {
			option.depends('level', 'custom');
			option.checkDepends = function(id) {
				return this.cfgvalue(id) != null || form.DynamicList.prototype.checkDepends.call(this, id);
			};
		}

		return option;
	}
});
