// What lanward says of itself, for prometheus-node-exporter-ucode: one call of `status` for each scrape. No addresses and no ports: Prometheus keeps a
// series for every value of a label, and strangers choose theirs. `lanward history` has them. The exporter gives `ubus`, `gauge` and `counter`, escapes
// labels and leaves out what is null.

const status = ubus ? ubus.call("lanward", "status") : null;

function one(kind, name, help, value) {
	kind("lanward_" + name, help)(null, value);
}

function of_each(list, label, kind, name, help, read) {
	const series = kind("lanward_" + name, help);

	for (let i = 0; i < length(list); i++) {
		let labels = {};

		labels[label] = list[i].name;
		series(labels, read(list[i]));
	}
}

one(gauge, "up", "Whether the daemon answers", status != null);
if (status == null)
	return true;

gauge("lanward_info", "The daemon's version, as a label")({ version: status.version }, 1);
one(gauge, "uptime_seconds", "How long the daemon has been running", status.uptime);
one(gauge, "applied", "Whether the configuration is what is enforced", status.applied);
one(gauge, "problems", "Options that are wrong", length(status.problems));
one(gauge, "warnings", "What contradicts the configuration, or limits it", length(status.warnings));

const lan_only = status.lan_only;

one(gauge, "lan_only_enabled", "Whether the switch is on", lan_only.enabled);
one(gauge, "lan_only_enforced", "Whether packets are dropped now", lan_only.enforced);
one(gauge, "lan_only_observing", "Whether packets are only counted", lan_only.observe);
one(gauge, "lan_only_scheduled_off", "Whether the schedule has it off now", lan_only.out_of_hours);
one(gauge, "lan_only_paused_seconds", "What is left of a pause", lan_only.paused_seconds);
one(counter, "lan_only_dropped_packets_total", "Packets dropped (observing: that would be) on their way out", lan_only.dropped_packets);
one(counter, "lan_only_dropped_bytes_total", "Their bytes", lan_only.dropped_bytes);
one(counter, "lan_only_inbound_dropped_packets_total", "The same of packets on their way in", lan_only.inbound_dropped_packets);
one(counter, "lan_only_flows_cut_total", "Running connections that were ended", lan_only.flows_cut);

const gates = status.gates;

of_each(gates, "gate", gauge, "gate_enabled", "Whether the gate is configured to work", gate => gate.enabled);
of_each(gates, "gate", gauge, "gate_shut", "Whether a mistake keeps it shut for everybody", gate => gate.shut);
of_each(gates, "gate", gauge, "gate_entries", "Addresses that are listed", gate => gate.entries);
of_each(gates, "gate", gauge, "gate_size", "Addresses that can be listed in each family", gate => gate.size);
of_each(gates, "gate", counter, "gate_admitted_total", "Times that an address came onto the list", gate => gate.admitted);
of_each(gates, "gate", counter, "gate_refused_total", "Connections that were refused", gate => gate.refused);
of_each(gates, "gate", counter, "gate_overflow_total", "Proofs that found the list full", gate => gate.overflow);

const ledger = status.ledger;

one(gauge, "ledger_enabled", "Whether attempts are counted", ledger.enabled);
one(gauge, "ledger_problem", "Whether something is wrong with the ledger's file", ledger.problem != null);
one(gauge, "ledger_today", "Attempts of this day", ledger.today);
one(counter, "ledger_attempts_total", "Attempts since the daemon was started", ledger.total);
one(gauge, "ledger_last_commit_timestamp_seconds", "When the ledger was written to flash (0: never)", ledger.last_commit);

const relays = status.relays;

of_each(relays, "relay", gauge, "relay_enabled", "Whether the relay is to be up", relay => relay.state != "idle");
of_each(relays, "relay", gauge, "relay_up", "Whether its tunnel is up", relay => relay.state == "up");

return true;
