-- Stands in for prometheus-node-exporter-lua, as far as a collector sees it: exporter.lua COLLECTOR STATUS. STATUS is Lua that returns what the bus
-- answers, or "no daemon", or "no bus".
local collector, given = arg[1], arg[2]

package.preload["ubus"] = function()
  return {
    connect = function(_, patience)
      assert(patience < 10, "Prometheus waits for ten seconds")
      if given == "no bus" then
        return nil, 1
      end
      return {
        call = function(_, object, method, arguments)
          assert(object == "lanward" and method == "status" and type(arguments) == "table" and next(arguments) == nil)
          if given == "no daemon" then
            return nil, 4
          end
          return dofile(given)
        end,
        close = function() end,
      }
    end,
  }
end

-- The type once, then each series as it is given: nothing is escaped, and what is nil is left out.
function metric(name, kind, labels, value)
  io.write("# TYPE ", name, " ", kind, "\n")
  local function series(labels, value)
    if value == nil then
      return
    end
    local parts = {}
    for label, content in pairs(labels or {}) do
      parts[#parts + 1] = label .. '="' .. content .. '"'
    end
    io.write(name, #parts > 0 and "{" .. table.concat(parts, ",") .. "}" or "", " ", value, "\n")
  end
  if value ~= nil then
    series(labels, value)
  end
  return series
end

dofile(collector).scrape()
