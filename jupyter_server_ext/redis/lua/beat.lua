-- Say that an instance lives, and for how long; hear who else does.
-- KEYS: live, birth
-- ARGV: instance, lease in µs (0 only asks), a name for this life of the data if there is none, channel
-- Returns the time, the name of this life of the data, and name and end of the lease of everyone.
if ARGV[2] ~= '0' and call('ZADD', KEYS[1], now + ARGV[2], ARGV[1]) == 1 then
  tell(ARGV[4], KEYS[1], ARGV[1], 'here', {ARGV[1]})
end
call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 32 * 86400 * 1000000)
call('SET', KEYS[2], ARGV[3], 'NX')
for i = 1, 2 do call('PEXPIRE', KEYS[i], 70 * 86400000) end  -- outlives all that is counted
local told = {now, call('GET', KEYS[2])}
for i, value in ipairs(call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')) do
  told[#told + 1] = i % 2 == 0 and tonumber(value) or value
end
return told
