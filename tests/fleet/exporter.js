// Stands in for prometheus-node-exporter-ucode, as far as a collector sees it, where there is no ucode: a collector that keeps to what both languages have is
// run by node. exporter.js COLLECTOR; { bus, status } in, { text } out.
'use strict';

const fs = require('fs');
const { bus, status } = JSON.parse(fs.readFileSync(0));
let text = '';

function number(value) {
	return typeof value == 'boolean' ? +value : value;
}

function escaped(value) {
	return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}

// The head before the first series; what is null is left out.
function metric(kind) {
	return (name, help) => {
		let head = (help ? `# HELP ${name} ${help}\n` : '') + `# TYPE ${name} ${kind}\n`;

		return function series(labels, value) {
			if (value == null)
				return;

			const parts = Object.entries(labels ?? {}).map(([label, content]) => `${label}="${escaped(content)}"`);

			text += `${head}${name}${parts.length ? `{${parts.join(',')}}` : ''} ${number(value)}\n`;
			head = '';
		};
	};
}

const ubus = bus ? {
	call: (object, method) => {
		if (object != 'lanward' || method != 'status')
			throw new Error(`${object} ${method}`);

		return status;
	},
} : null;
const scope = { ubus, gauge: metric('gauge'), counter: metric('counter'), length: of => of == null ? null : of.length };
const collector = new Function(...Object.keys(scope), '"use strict";' + fs.readFileSync(process.argv[2], 'utf8'));

if (collector(...Object.values(scope)) === false)
	throw new Error('it says that it failed');

process.stdout.write(JSON.stringify({ text }));
