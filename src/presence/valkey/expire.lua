-- KEYS: users. Returns for each how long it lives without a heartbeat, in ms; 0 when its last socket
-- has run out, which is told once; -1 when there is nothing.
local left = {}
for at, key in ipairs(KEYS) do
  local last, count = prune(key)
  if last > 0 then
    left[at] = last - now
  elseif count > 0 then
    left[at] = 0
  else
    left[at] = -1
  end
end
return left
