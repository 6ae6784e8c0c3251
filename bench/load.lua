-- Send the requests of a file, one line each: method, path, token, the tag of what is known, and body between
-- tabs. Count what was answered with the expected status apart from everything else.

local ffi = require("ffi")
ffi.cdef("typedef struct { long s; int us; int pad; } bench_time; int gettimeofday(bench_time *, void *);")
local clock = ffi.new("bench_time")

local function now()
   ffi.C.gettimeofday(clock, nil)
   return tonumber(clock.s) + clock.us / 1e6
end

local threads = {}

function setup(thread)
   table.insert(threads, thread)
end

function init(args)
   file, expected, cycles = args[1], tonumber(args[2]), args[3] == "cycle"
   clients, turned_away, began, ended = tonumber(args[4]), tonumber(args[5]), 0, 0
   served, refused, first_refusal, ran_out, taken = 0, 0, "", false, 0
   lines = io.lines(file)
   -- What an earlier run has sent may have been done, whether or not it was answered.
   for _ = 1, tonumber(args[6]) do lines() end
end

function request()
   local line = lines()
   if line == nil then
      -- A fresh request sent twice would be refused, and that is not what is measured.
      ran_out = not cycles
      lines = io.lines(file)
      line = lines()
   end
   taken = taken + 1
   local method, path, token, known, body = line:match("^([^\t]*)\t([^\t]*)\t([^\t]*)\t([^\t]*)\t(.*)$")
   local headers = {}
   if token ~= "" then headers["Authorization"] = "Bearer " .. token end
   if known ~= "" then headers["If-None-Match"] = known end
   if body ~= "" then headers["Content-Type"] = "application/json" end
   return wrk.format(method, path, headers, body ~= "" and body or nil)
end

function response(status, headers, body)
   if status == expected then
      served = served + 1
      ended = now()
      if served == clients then began = ended end
   elseif status ~= turned_away then
      refused = refused + 1
      if first_refusal == "" then
         first_refusal = status .. " " .. body:sub(1, 300):gsub("%s+", " ")
      end
   end
end

function done(summary, latency, requests)
   local thread = threads[1]
   local errors = summary.errors
   local function tell(name, value) print("bench " .. name .. " " .. tostring(value)) end
   tell("served", thread:get("served"))
   tell("refused", thread:get("refused"))
   tell("first_refusal", thread:get("first_refusal"))
   tell("ran_out", thread:get("ran_out"))
   tell("taken", thread:get("taken"))
   tell("socket_errors", errors.connect + errors.read + errors.write + errors.timeout)
   -- From when as many were served as there are clients. Before that a server takes all of them in at
   -- once, work whose answers the end of the run cuts off at the other end of the queue.
   local all = thread:get("served")
   if all >= 2 * thread:get("clients") then
      tell("per_second", (all - thread:get("clients")) / (thread:get("ended") - thread:get("began")))
   else
      tell("per_second", all / (summary.duration / 1e6))
   end
   tell("p50_ms", latency:percentile(50) / 1e3)
   tell("p99_ms", latency:percentile(99) / 1e3)
end
