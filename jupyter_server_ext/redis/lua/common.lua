-- Put before every script: the server's time in microseconds, who is alive, and how counters count.
--
-- A window is a hash and a sorted set. The hash holds amounts by 'slot:instance', a slot being the end of the stretch of
-- time in which they were taken, their sum in 'u', the first slot in 'f', and when the hash expires in 'x'; the set holds
-- the members by slot, so that those that are over are found at once. A gauge is a hash of amounts by instance, of which
-- those of the living count. Calls of Redis are what a script's time goes into: two or three for each counter.
-- Numbers are given to Redis as they are: it writes all digits of those below 1e17, where Lua's '..' writes fourteen.
local call = redis.call
local time = call('TIME')
local now = time[1] * 1000000 + time[2]

local function text(number) return string.format('%.0f', number) end

local function number(value) return tonumber(value or '0') end

local the_living
local function living(live)
  if not the_living then
    the_living = {}
    for _, name in ipairs(call('ZRANGEBYSCORE', live, now, '+inf')) do the_living[name] = true end
  end
  return the_living
end

-- What is over is taken out of a window; its sum and first slot afterwards.
local function let_go(hash, order, span)
  local over, gone = call('ZRANGEBYSCORE', order, '-inf', now - span), 0
  for _, member in ipairs(over) do
    gone = gone + number(call('HGET', hash, member))
    call('HDEL', hash, member)
  end
  call('ZREMRANGEBYSCORE', order, '-inf', now - span)
  local left = call('HINCRBY', hash, 'u', -gone)
  local first = call('ZRANGE', order, 0, 0)[1]
  first = first and string.match(first, '^%d+') or ''
  call('HSET', hash, 'f', first)
  return left, first
end

-- A window as it is now: what is used, what of it stands by the name of a member, its first slot and its end.
local function look(hash, order, span, member)
  local row = call('HMGET', hash, 'u', 'f', 'x', member)
  local sum, first = number(row[1]), row[2] or ''
  if first == '' and sum ~= 0 or first ~= '' and first + span <= now then sum, first = let_go(hash, order, span) end
  return sum, row[4] and tonumber(row[4]), first, number(row[3])
end

-- Add to the member of a window that was looked at.
local function put(hash, order, span, slot, member, amount, sum, mine, first, ends)
  if (mine or 0) + amount == 0 then
    call('HDEL', hash, member)
    call('ZREM', order, member)
    call('HSET', hash, 'u', sum + amount)
    return
  end
  if not mine then call('ZADD', order, slot, member) end
  if first == '' or tonumber(slot) < tonumber(first) then first = slot end
  local last = slot + span + 60000000
  if last > ends then  -- rarely, as it is set further ahead
    ends = math.floor(last + span / 8)
    call('HSET', hash, 'u', sum + amount, member, (mine or 0) + amount, 'f', first, 'x', ends)
    call('PEXPIREAT', hash, math.floor(ends / 1000))
    call('PEXPIREAT', order, math.floor(ends / 1000))
  else
    call('HSET', hash, 'u', sum + amount, member, (mine or 0) + amount, 'f', first)
  end
end

local function gauge_used(hash, live)
  local sum, rows, alive = 0, call('HGETALL', hash), living(live)
  for i = 1, #rows, 2 do
    if alive[rows[i]] then sum = sum + rows[i + 1] else call('HDEL', hash, rows[i]) end
  end
  return sum
end

local function used(hash, order, span, live)
  if span > 0 then return (look(hash, order, span, 'u')) end
  return gauge_used(hash, live)
end

-- What one instance has of a gauge now.
local function hold(hash, instance, amount)
  if tonumber(amount) <= 0 then
    call('HDEL', hash, instance)
  else
    call('HSET', hash, instance, amount)
    call('PEXPIRE', hash, 86400000)
  end
end

local function tell(channel, live, instance, kind, news)
  if #news > 0 and call('ZCARD', live) > 1 then
    call('PUBLISH', channel, cmsgpack.pack({instance, kind, news}))
  end
end

-- A window of keys is a hash of what each instance says that it uses. What a dead one used counts until it is surely over.
local leases = {}
local function of_each(hash, instance, span, live)
  local others, mine, rows = 0, 0, call('HGETALL', hash)
  for i = 1, #rows, 2 do
    local name = rows[i]
    if name == instance then
      mine = tonumber(rows[i + 1])
    else
      if leases[name] == nil then leases[name] = number(call('ZSCORE', live, name)) end
      if leases[name] + span > now then others = others + rows[i + 1] else call('HDEL', hash, name) end
    end
  end
  return others, mine
end

local function keep(hash, instance, amount, span)
  if amount > 0 then
    call('HSET', hash, instance, amount)
    call('PEXPIRE', hash, math.ceil(span / 1000) + 86400000)
  else
    call('HDEL', hash, instance)
  end
end
