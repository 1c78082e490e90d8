// SPDX-License-Identifier: MIT OR Apache-2.0

'use strict';

// The address that the browser comes from: no page can find that out by itself.
return {
	address: function() {
		http.prepare_content('application/json');
		http.write_json({ address: http.getenv('REMOTE_ADDR') });
	}
};
