-- What lanward says of itself, for prometheus-node-exporter-lua: one call of `status` for each scrape. No addresses and no ports: Prometheus keeps a
-- series for every value of a label, and strangers choose theirs. `lanward history` has them.

local ubus = require "ubus"

-- Seconds. A daemon that hangs must not hold up the exporter's other metrics for longer.
local PATIENCE = 5

-- The exporter prints a label's value as it is given.
local ESCAPES = { ['\\'] = '\\\\', ['"'] = '\\"', ['\n'] = '\\n' }

local function escaped(text)
  return (tostring(text):gsub('[\\"\n]', ESCAPES))
end

-- All of them whole, and some too large for the way that Lua prints numbers.
local function number(value)
  if type(value) == "boolean" then
    return value and "1" or "0"
  end
  return string.format("%.0f", value)
end

-- What this daemon does not say is left out.
local function one(kind, name, value)
  if value ~= nil then
    metric("lanward_" .. name, kind, nil, number(value))
  end
end

local function of_each(list, label, kind, name, read)
  local series
  for _, item in ipairs(list or {}) do
    local value = read(item)
    if value ~= nil then
      series = series or metric("lanward_" .. name, kind)
      series({ [label] = escaped(item.name) }, number(value))
    end
  end
end

local function field(name)
  return function(item)
    return item[name]
  end
end

local function scrape()
  local bus = ubus.connect(nil, PATIENCE)
  local status = bus and bus:call("lanward", "status", {})
  if bus then
    bus:close()
  end
  one("gauge", "up", status ~= nil)
  if not status then
    return
  end
  metric("lanward_info", "gauge", { version = escaped(status.version) }, "1")
  one("gauge", "uptime_seconds", status.uptime)
  one("gauge", "applied", status.applied)
  one("gauge", "problems", #(status.problems or {}))
  one("gauge", "warnings", #(status.warnings or {}))

  local lan_only = status.lan_only or {}
  one("gauge", "lan_only_enabled", lan_only.enabled)
  one("gauge", "lan_only_enforced", lan_only.enforced)
  one("gauge", "lan_only_observing", lan_only.observe)
  one("gauge", "lan_only_scheduled_off", lan_only.out_of_hours)
  one("gauge", "lan_only_paused_seconds", lan_only.paused_seconds)
  one("counter", "lan_only_dropped_packets_total", lan_only.dropped_packets)
  one("counter", "lan_only_dropped_bytes_total", lan_only.dropped_bytes)
  one("counter", "lan_only_inbound_dropped_packets_total", lan_only.inbound_dropped_packets)
  one("counter", "lan_only_flows_cut_total", lan_only.flows_cut)

  local gates = status.gates
  of_each(gates, "gate", "gauge", "gate_enabled", field("enabled"))
  of_each(gates, "gate", "gauge", "gate_shut", field("shut"))
  of_each(gates, "gate", "gauge", "gate_entries", field("entries"))
  of_each(gates, "gate", "gauge", "gate_size", field("size"))
  of_each(gates, "gate", "counter", "gate_admitted_total", field("admitted"))
  of_each(gates, "gate", "counter", "gate_refused_total", field("refused"))
  of_each(gates, "gate", "counter", "gate_overflow_total", field("overflow"))

  local ledger = status.ledger or {}
  one("gauge", "ledger_enabled", ledger.enabled)
  one("gauge", "ledger_problem", ledger.problem ~= nil)
  one("gauge", "ledger_today", ledger.today)
  one("counter", "ledger_attempts_total", ledger.total)
  one("gauge", "ledger_last_commit_timestamp_seconds", ledger.last_commit)

  local relays = status.relays
  of_each(relays, "relay", "gauge", "relay_enabled", function(relay)
    return relay.state ~= "idle"
  end)
  of_each(relays, "relay", "gauge", "relay_up", function(relay)
    return relay.state == "up"
  end)
end

return { scrape = scrape }
