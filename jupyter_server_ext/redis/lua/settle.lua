-- End a claim, or remember that its name was answered.
-- KEYS: live, the name's hash
-- ARGV: instance, channel, mark, milliseconds for which it is remembered, 0 for not at all
-- Returns the time.
if ARGV[4] ~= '0' then
  call('HSET', KEYS[2], 'owner', ARGV[1], 'mark', ARGV[3], 'answered', 1)
  call('PEXPIRE', KEYS[2], ARGV[4])
elseif call('HGET', KEYS[2], 'owner') == ARGV[1] and call('HEXISTS', KEYS[2], 'answered') == 0 then
  call('DEL', KEYS[2])
end
tell(ARGV[2], KEYS[1], ARGV[1], 'settled', KEYS[2])
return now
