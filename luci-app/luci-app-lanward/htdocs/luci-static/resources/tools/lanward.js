'use strict';
'require baseclass';
'require rpc';

/* What the pages of lanward share: the calls, what a failed one means, and what the switch's state is. */

const declare = (method, params) => rpc.declare({
	object: 'lanward',
	method: method,
	params: params || [],
	expect: { '': {} },
	reject: true
});

const calls = {
	status: declare('status'),
	lan_only: declare('lan_only', [ 'enabled', 'persist' ]),
	pause: declare('pause', [ 'minutes' ]),
	resume: declare('resume'),
	gate_list: declare('gate_list', [ 'gate' ]),
	gate_admit: declare('gate_admit', [ 'gate', 'address', 'seconds' ]),
	gate_remove: declare('gate_remove', [ 'gate', 'address' ]),
	check: declare('check')
};

return baseclass.extend({
	/* Calls the daemon. Rejects with an Error whose `kind` is 'down', 'denied' or 'failed' and whose message is for people. A
	 * refusal that the daemon has words for comes with its answer in `reply`: it may have done part of what was asked. */
	call(method, ...args) {
		return calls[method](...args).then(reply => {
			if (reply.error == null)
				return reply;

			const error = new Error(String(reply.error));
			error.kind = 'failed';
			error.reply = reply;
			throw error;
		}, error => {
			throw this.explain(error, method);
		});
	},

	/* The bus and the web server have numbers only. */
	explain(error, method) {
		const text = String((error && error.message) || error);
		const has = part => text.indexOf(part) >= 0;
		let kind = 'failed';
		let message = _('The request failed: %s').format(text);

		if (has('error -32002') || has('ubus code 6:')) {
			kind = 'denied';
			message = _('This session has no right to do that. If the package was installed just now, log out and in again.');
		}
		else if (has('error -32000') || has('ubus code 4:')) {
			/* Not found: the object, or a gate by that name. */
			if (method.indexOf('gate_') == 0) {
				message = _('There is no such gate any more, or the daemon is not running.');
			}
			else {
				kind = 'down';
				message = _('The daemon is not running, or not connected to the bus.');
			}
		}
		else if (has('ubus code 2:')) {
			message = _('The daemon does not understand the request: the page and the daemon may be of different versions.');
		}
		else if (has('ubus code 7:') || has('timed out')) {
			kind = 'down';
			message = _('The daemon does not answer.');
		}

		const explained = new Error(message);
		explained.kind = kind;
		return explained;
	},

	/* One word for what the kernel does now, from the answer of `status`:
	 * observing | off | paused | on | lost | idle. */
	verdict(status) {
		const mode = status.lan_only || {};

		if (mode.observe)
			return 'observing';
		if (!mode.enabled)
			return 'off';
		if (mode.paused_seconds > 0)
			return 'paused';
		if (mode.enforced)
			return 'on';

		return status.applied ? 'idle' : 'lost';
	},

	/* What comes from the daemon is shown as text; what is missing as nothing. */
	list(value) {
		return Array.isArray(value) ? value : [];
	},

	number(value) {
		return (typeof(value) == 'number' && isFinite(value)) ? value : 0;
	},

	/* Changes a node's text only if it is another: what is selected or being read aloud stays. */
	text(node, text) {
		if (node.textContent !== text)
			node.textContent = text;
	},

	show(node, shown) {
		node.style.display = shown ? '' : 'none';
	}
});
