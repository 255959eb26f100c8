-- An instance ends: nothing is under way with it any more.
-- KEYS: live
-- ARGV: instance
call('ZADD', KEYS[1], text(now), ARGV[1])
return now
