-- Put before every script: the server's time in microseconds, who is alive, and how meters count.
--
-- A window is a hash and a sorted set. The hash holds amounts by 'slot:instance', a slot being the end of the stretch of
-- time in which they were taken, and their sum in 'u'; the set holds the same members by slot, so that those that are
-- over are found at once. A gauge is a hash of amounts by instance, of which those of the living count.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local function text(number) return string.format('%.0f', number) end

local function number(value) return tonumber(value or '0') end

local the_living
local function living(live)
  if not the_living then
    the_living = {}
    for _, name in ipairs(redis.call('ZRANGEBYSCORE', live, text(now), '+inf')) do the_living[name] = true end
  end
  return the_living
end

local function window_used(hash, order, span)
  local over = redis.call('ZRANGEBYSCORE', order, '-inf', text(now - span))
  if #over > 0 then
    local gone = 0
    for _, member in ipairs(over) do
      gone = gone + number(redis.call('HGET', hash, member))
      redis.call('HDEL', hash, member)
    end
    redis.call('ZREMRANGEBYSCORE', order, '-inf', text(now - span))
    redis.call('HINCRBY', hash, 'u', text(-gone))
  end
  return number(redis.call('HGET', hash, 'u'))
end

local function gauge_used(hash, live)
  local sum, rows, alive = 0, redis.call('HGETALL', hash), living(live)
  for i = 1, #rows, 2 do
    if alive[rows[i]] then sum = sum + rows[i + 1] else redis.call('HDEL', hash, rows[i]) end
  end
  return sum
end

local function used(hash, order, span, live)
  if span > 0 then return window_used(hash, order, span) end
  return gauge_used(hash, live)
end

local function put(hash, order, span, slot, instance, amount)
  local member = slot .. ':' .. instance
  local left = redis.call('HINCRBY', hash, member, amount)
  redis.call('HINCRBY', hash, 'u', amount)
  if left == 0 then
    redis.call('HDEL', hash, member)
    redis.call('ZREM', order, member)
  else
    redis.call('ZADD', order, slot, member)
  end
  local milliseconds = text(math.ceil((slot + span - now) / 1000) + 60000)
  redis.call('PEXPIRE', hash, milliseconds)
  redis.call('PEXPIRE', order, milliseconds)
end

local function hold(hash, instance, amount)
  if number(redis.call('HINCRBY', hash, instance, amount)) <= 0 then redis.call('HDEL', hash, instance) end
  redis.call('PEXPIRE', hash, 86400000)
end

local function tell(channel, live, instance, kind, news)
  if #news > 0 and redis.call('ZCARD', live) > 1 then
    redis.call('PUBLISH', channel, cmsgpack.pack({instance, kind, news}))
  end
end

-- A window of keys is a hash of what each instance says that it uses. What a dead one used counts until it is surely over.
local leases = {}
local function of_others(hash, instance, span, live)
  local sum, rows = 0, redis.call('HGETALL', hash)
  for i = 1, #rows, 2 do
    local name = rows[i]
    if name ~= instance then
      if leases[name] == nil then leases[name] = tonumber(redis.call('ZSCORE', live, name) or '0') end
      if leases[name] + span > now then sum = sum + rows[i + 1] else redis.call('HDEL', hash, name) end
    end
  end
  return sum
end

local function keep(hash, instance, amount, span)
  if amount > 0 then
    redis.call('HSET', hash, instance, text(amount))
    redis.call('PEXPIRE', hash, text(span / 1000 + 86400000))
  else
    redis.call('HDEL', hash, instance)
  end
end
