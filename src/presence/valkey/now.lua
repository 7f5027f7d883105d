-- Put before each script. A user's key is a hash: a socket's id to the time it counts until, in ms
-- of the server's clock.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- When the last live socket runs out (0: none lives), and how many fields there are.
local function latest(key)
  local fields = redis.call('HGETALL', key)
  local last = 0
  for at = 2, #fields, 2 do
    local deadline = tonumber(fields[at]) or 0
    if deadline > now and deadline > last then last = deadline end
  end
  return last, #fields / 2
end

-- As `latest`, and removes what has run out.
local function prune(key)
  local fields = redis.call('HGETALL', key)
  for at = 2, #fields, 2 do
    if (tonumber(fields[at]) or 0) <= now then redis.call('HDEL', key, fields[at - 1]) end
  end
  local last = latest(key)
  return last, #fields / 2
end
