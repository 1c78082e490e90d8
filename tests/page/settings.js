/* The settings beside a stand-in for LuCI's forms that only notes what it is given. Reads from its input what to judge, { values: { "type.option":
 * [ texts ] }, sections: [ { type, options } ], names: [ … ] }, and writes what the page has and what it makes of them. Called by tests/page.rs
 * with the directory of the page's resources. */
'use strict';

const fs = require('fs');
const path = require('path');

const resources = process.argv[2];

String.prototype.format = function(...values) { return this.replace(/%[dhs]/g, () => String(values.shift())) };

const text = words => words;
const L = { hasViewPermission: () => true, resource: name => name };
const baseclass = { extend: members => members };
const load = (file, names, given) => new Function('L', 'E', '_', ...names, fs.readFileSync(path.join(resources, file), 'utf8'))(L, () => ({}), text, ...given);

/* --- as much of the forms as notes what it is given --- */

const made = [];

class Option {
	constructor(section, name, title, about) {
		Object.assign(this, { section, option: name, title, about, keylist: [], vallist: [], deps: [], values: {} });
	}
	value(key, label) { this.keylist.push(key); this.vallist.push(label) }
	depends(...deps) { this.deps.push(deps) }
	checkDepends() { return false }
	getUIElement() { return null }
	cfgvalue(id) { return id in this.values ? this.values[id] : null }
}

const kinds = {};

for (const kind of [ 'Value', 'Flag', 'ListValue', 'MultiValue', 'DynamicList' ])
	kinds[kind] = ({ [kind]: class extends Option {} })[kind];

class Section {
	constructor(map, ...args) { Object.assign(this, { map, args, children: [] }) }
	option(kind, ...args) {
		const option = new kind(this, ...args);

		this.children.push(option);

		return option;
	}
}

class NamedSection extends Section {}
class GridSection extends Section {}

class Map {
	section(kind, ...args) {
		const section = new kind(this, ...args);

		made.push(section);

		return section;
	}
	save() {}
}

const form = Object.assign({ Map, NamedSection, GridSection }, kinds);
const uci = { sections: () => [], get: () => null };

const values = load('tools/lanward/values.js', [ 'baseclass' ], [ baseclass ]);
const table = load('tools/lanward/options.js', [ 'baseclass' ], [ baseclass ]);
const page = load('view/lanward/settings.js', [ 'view', 'form', 'uci', 'ui', 'poll', 'lanward', 'table', 'values' ],
	[ baseclass, form, uci, {}, {}, { list: list => list || [] }, table, values ]);

page.map([], null);

/* --- what the page has --- */

const type = section => section instanceof NamedSection ? section.args[1] : section.args[0];
const options = made.flatMap(section => section.children.map(option => ({
	type: type(section),
	name: option.option,
	single: section instanceof NamedSection,
	widget: option.constructor.name,
	choices: option.keylist,
	labels: option.vallist,
	default: option.default == null ? null : option.default,
	placeholder: option.placeholder == null ? null : option.placeholder,
	texts: [ option.title, option.about ],
	removes: option.rmempty,
	retains: option.retain
})));

/* --- what it makes of values --- */

const given = JSON.parse(fs.readFileSync(0, 'utf8'));
const find = (of, name) => made.find(section => type(section) == of).children.find(option => option.option == name);

/* Of a switch the file's value is judged: its widget has only two. */
const judge = (option, value) => {
	const isSwitch = option instanceof form.Flag;

	option.values = isSwitch ? { one: values.shape(option.spec, value) } : {};

	/* What the others ask for is not the value's fault. */
	return isSwitch ? option.validate('one', '1') === true : values.check(option.spec, value) == null;
};

const verdicts = {};

for (const [ name, texts ] of Object.entries(given.values))
	verdicts[name] = texts.map(value => judge(find(...name.split('.')), value));

/* A whole section as the file has it: loaded and judged as the form does it when nothing is touched. */
const sections = given.sections.map(one => {
	const section = made.find(section => type(section) == one.type);

	uci.get = (config, id, name) => name in one.options ? one.options[name] : null;
	uci.sections = () => [ { '.name': 'ssh', '.type': 'gate' } ];

	const loaded = section.children.map(option => {
		option.values = {};
		option.keylist = [];

		return [ option, option.load('one') ];
	});

	for (const [ option, value ] of loaded)
		option.values = { one: value };

	return loaded.every(([ option, value ]) => {
		const words = value == null ? [ '' ] : (Array.isArray(value) ? [ ...value, '' ] : [ value ]);

		return words.every(word => option.validate('one', word) === true);
	});
});

const names = given.names.map(([ of, name, others ]) => values.name(of, name, others.map(([ type, name ]) => ({ type, name }))) == null);

process.stdout.write(JSON.stringify({ options, verdicts, sections, names }));
