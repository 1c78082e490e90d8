// The same by ucode itself: exporter.uc COLLECTOR FILE; FILE has { bus, status }, the text is printed.
'use strict';

import { readfile } from 'fs';

const given = json(readfile(ARGV[1]));

function metric(kind) {
	return (name, help) => {
		let head = `# HELP ${name} ${help}\n# TYPE ${name} ${kind}\n`;

		return (labels, value) => {
			if (value == null)
				return;

			let parts = [];

			for (let label, content in labels)
				push(parts, label + '="' + replace(replace(replace(content, '\\', '\\\\'), '"', '\\"'), '\n', '\\n') + '"');

			print(head, name, length(parts) ? '{' + join(',', parts) + '}' : '', ' ', +value, '\n');
			head = '';
		};
	};
}

const scope = {
	ubus: given.bus ? { call: (object, method) => (object == 'lanward' && method == 'status') ? given.status : die('asked for something else') } : null,
	gauge: metric('gauge'),
	counter: metric('counter'),
};
const collector = loadfile(ARGV[0], { raw_mode: true, strict_declarations: true });

if (call(collector, null, scope) == false)
	die('it says that it failed');
