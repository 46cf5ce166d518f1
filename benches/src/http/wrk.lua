-- Repeats one request, and prints the results on one line for the caller to parse.

function init(args)
  wrk.method = args[1]
  wrk.body = args[2]
end

function done(summary, latency, requests)
  local errors = summary.errors
  local broken = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format("measured %d %d %d %d %d\n",
    summary.requests, summary.duration, latency:percentile(99), errors.status, broken))
end
