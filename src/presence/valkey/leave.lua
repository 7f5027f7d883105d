-- KEYS: a user for each socket. ARGV: the sockets' ids.
-- Returns which (counted from 1) were the last of their user.
local left = {}
for at, key in ipairs(KEYS) do
  if redis.call('HDEL', key, ARGV[at]) == 1 and prune(key) == 0 then left[#left + 1] = at end
end
return left
