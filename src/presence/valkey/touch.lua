-- KEYS: a user for each socket. ARGV: how long a socket counts, how much longer its key stays, then
-- for each socket its id and how long it has been silent; all in ms.
-- Returns which (counted from 1) were the first of their user.
local came = {}
for at, key in ipairs(KEYS) do
  local deadline = now + ARGV[1] - ARGV[2 * at + 2]
  if deadline > now then
    local last = prune(key)
    if last == 0 then came[#came + 1] = at end
    redis.call('HSET', key, ARGV[2 * at + 1], string.format('%.0f', deadline))
    redis.call('PEXPIREAT', key, string.format('%.0f', math.max(last, deadline) + ARGV[2]))
  end
end
return came
