'use strict';

/* Says messages with the page's own code. Arguments: the directory `resources`. Standard input, JSON: `messages`, a list of texts; `profiles`;
 * `catalogue`, English to Japanese. Standard output, JSON: for each message how it is said in English, with every letter of the table's own
 * masked, and in Japanese. */

const fs = require('fs');
const path = require('path');
const source = fs.readFileSync(path.join(process.argv[2], 'tools/lanward/said.js'), 'utf8');
const given = JSON.parse(fs.readFileSync(0, 'utf8'));

const load = translate => new Function('baseclass', '_', source)({ extend: members => members }, translate);
const mask = text => text.replace(/%s|[A-Za-z]/g, part => part == '%s' ? part : '*');
const speakers = {
	english: load(text => text),
	masked: load(mask),
	japanese: load(text => given.catalogue[text] || text)
};

speakers.japanese.learn(given.profiles, 'ja');

const said = given.messages.map(text => Object.keys(speakers).map(name => {
	const started = process.hrtime.bigint();
	const answer = speakers[name].translate(text);

	return { text: answer, microseconds: Number((process.hrtime.bigint() - started) / 1000n) };
}));

process.stdout.write(JSON.stringify(said));
