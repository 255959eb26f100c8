-- Claim a name, unless an instance that lives has it, or it was answered.
-- KEYS: live, a hash for the name
-- ARGV: instance, mark, milliseconds that a claim lasts
-- Returns 'new' when it is claimed now, 'busy', 'answered', or 'other' when the name has another mark.
local owner, mark, answered = unpack(call('HMGET', KEYS[2], 'owner', 'mark', 'answered'))
if answered or (owner and owner ~= ARGV[1] and living(KEYS[1])[owner]) then
  if mark ~= ARGV[2] then return 'other' end
  return answered and 'answered' or 'busy'
end
call('HSET', KEYS[2], 'owner', ARGV[1], 'mark', ARGV[2])
call('PEXPIRE', KEYS[2], ARGV[3])
return 'new'
