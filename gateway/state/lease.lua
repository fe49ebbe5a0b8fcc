-- One heartbeat of one replica: what it may hold and send until the next one. Redis runs it as a whole, so it needs no
-- locks; the rules are those of docs/decisions/0005.
--
-- For each class of calls a replica has a limit of seats, the epoch in which it was told that limit, and an upper
-- bound of what it may be using. The bounds of all replicas never add up to more than the class has, because
--  * a limit grows only into what no bound covers;
--  * a bound shrinks only when the replica has confirmed the epoch of the smaller limit, to what it still holds;
--  * a replica that falls silent keeps its whole bound for `hold_s`, as any of it may be in use; one that leaves keeps
--    what it still holds.
-- Rates are a level that leaks: tokens are granted below its brim and expire unused within one heartbeat.
--
-- KEYS: leases by replica, reports by replica, the state of all. ARGV: the heartbeat, the report (both MessagePack).
-- Returns the answer in MessagePack, then id and report of every other replica that was heard of lately. The answer
-- begins with 1; with -1 where a later heartbeat came before this one; with -2 where a later process has the same name.

local leases_key, reports_key, state_key = KEYS[1], KEYS[2], KEYS[3]
local replica, incarnation, number, is_leaving, hold_s, live_s, settle_s, asked = unpack(cmsgpack.unpack(ARGV[1]))
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000

-- Records of another version, damaged ones and what is no record at all must not stop those who can be understood.
local version, unreadable = 1, 0

local function are_numbers(...)
  for i = 1, select('#', ...) do
    local value = select(i, ...)
    -- Neither what is no number, nor one that is infinite or undefined and spoils every sum.
    if type(value) ~= 'number' or not (math.abs(value) < 1e15) then return false end
  end
  return true
end

local function is_lease(lease)
  if type(lease.incarnation) ~= 'string' or type(lease.classes) ~= 'table' then return false end
  for _, class in pairs(lease.classes) do
    if type(class) ~= 'table' or not are_numbers(class[1], class[2], class[3]) then return false end
  end
  return are_numbers(lease.number, lease.seen, lease.hold_s)
end

local function is_state(found)
  return type(found.levels) == 'table' and are_numbers(found.born, found.heard, found.learning_until)
end

local function read(record, is_right)
  if not record then return nil end
  local is_read, found = pcall(cmsgpack.unpack, record)
  if is_read and type(found) == 'table' and (found.version or version) == version and is_right(found) then
    return found
  end
  unreadable = unreadable + 1
  return nil
end

if is_leaving then
  local left = read(redis.call('HGET', leases_key, replica), is_lease)
  -- A process that was never heard of has nothing to give back, and one that comes late nothing any more.
  if left and left.incarnation == incarnation then
    redis.call('HDEL', leases_key, replica)
    redis.call('HDEL', reports_key, replica)
    -- Jobs that it could not end, as of relayed requests, go on without it: their seats stay bound as if it were silent.
    local ghost = {incarnation = incarnation, number = 0, seen = left.seen, hold_s = left.hold_s, classes = {}}
    for _, ask in ipairs(asked) do
      local name, held = ask[1], ask[7]
      local class = left.classes[name]
      if class and class[4] and math.min(class[3], held) > 0 then
        ghost.classes[name] = {class[1], class[2], math.min(class[3], held), true}
      end
    end
    if next(ghost.classes) then
      redis.call('HSET', leases_key, replica .. ' ' .. incarnation, cmsgpack.pack(ghost))
    end
  end
  return {cmsgpack.pack({0, false, {}})}
end

-- Without state this store is new, or lost what it knew; and after a long silence it does not know what replicas went on
-- with. Until everybody had time to report, nobody's limit grows.
local state = read(redis.call('GET', state_key), is_state)
state = state or {born = now, heard = now, learning_until = now + settle_s, levels = {}}
if now - state.heard > hold_s / 2 then state.learning_until = math.max(state.learning_until, now + settle_s) end
state.heard = now

local mine
local others, live = {}, {}
local kept = {[replica] = true}
local stored = redis.call('HGETALL', leases_key)
for i = 1, #stored, 2 do
  local id, lease = stored[i], read(stored[i + 1], is_lease)
  if not lease then
    -- A process that still has it writes it again with its next heartbeat. Until then nobody's limit grows.
    redis.call('HDEL', leases_key, id)
    state.learning_until = math.max(state.learning_until, now + settle_s)
  elseif id == replica then
    mine = lease
  elseif now - lease.seen > lease.hold_s then
    redis.call('HDEL', leases_key, id)
    redis.call('HDEL', reports_key, id)
  else
    kept[id] = true
    others[#others + 1] = lease
    lease.is_live = now - lease.seen <= live_s
    if lease.is_live then live[id] = true end
  end
end

-- Incarnations begin with the time of their start, so the older one is the smaller.
-- Another incarnation under the same name: the process that held the lease is gone, and its calls with it. Jobs go on
-- at Runpod without it, so the seats of work (classes without a rate) stay bound as if it had only fallen silent.
-- The later one goes before the earlier one only while it lives: a clock that stepped back between two starts makes the
-- process that is gone seem the later one, and nobody would ever follow it.
local is_mine_live = mine and math.abs(now - mine.seen) <= live_s
if is_mine_live and incarnation < mine.incarnation then return {cmsgpack.pack({-2, false, {}})} end
if mine and mine.incarnation ~= incarnation then
  local ghost = {incarnation = mine.incarnation, number = 0, seen = mine.seen, hold_s = mine.hold_s, classes = {}}
  for name, class in pairs(mine.classes) do
    if class[4] and class[3] > 0 then ghost.classes[name] = class end
  end
  redis.call('HSET', leases_key, replica .. ' ' .. mine.incarnation, cmsgpack.pack(ghost))
  others[#others + 1] = ghost
  mine = nil
end
if mine and number <= mine.number then return {cmsgpack.pack({-1, false, {}})} end

local is_learning = now < state.learning_until
local classes, granted = {}, {}
for i, ask in ipairs(asked) do
  local name, seats, rate, burst, epoch, limit, held, target, want = unpack(ask)
  local known = mine and mine.classes[name]
  local bound
  if known then
    local confirmed = epoch == known[1]
    epoch, limit, bound = known[1], known[2], known[3]
    if confirmed then bound = math.max(limit, held) end
  else
    -- It was not heard of, or forgotten. What it believes to have counts, whether or not there is so much.
    bound = math.max(limit, held)
    if epoch > 0 and is_learning then
      -- Somebody was told before this store knew of anybody: what it knew was lost, and others may be silent.
      state.learning_until = math.max(state.learning_until, state.born + hold_s)
    end
    epoch = epoch + 1
  end

  local taken, silent = bound, 0
  for _, other in ipairs(others) do
    local theirs = other.classes[name]
    if theirs then
      taken = taken + theirs[3]
      if not other.is_live then silent = silent + theirs[3] end
    end
  end
  local free = is_learning and 0 or math.max(0, seats - taken)
  local new = math.min(target, bound + free)
  if new ~= limit then
    limit, epoch = new, epoch + 1
    bound = math.max(bound, new)
  end
  classes[name] = {epoch, limit, bound, rate == 0}

  local tokens = 0
  if rate > 0 then
    local level = state.levels[name]
    if type(level) ~= 'table' or not are_numbers(level[1], level[2]) then level = {burst, now} end
    local height = math.max(0, level[1] - rate * math.max(0, now - level[2]))
    tokens = math.max(0, math.floor(math.min(want, burst - height)))
    state.levels[name] = {height + tokens, now}
  end
  granted[i] = {epoch, limit, tokens, silent}
end

local lease = {incarnation = incarnation, number = number, seen = now, hold_s = hold_s, classes = classes, version = version}
redis.call('HSET', leases_key, replica, cmsgpack.pack(lease))
redis.call('HSET', reports_key, replica, ARGV[2])
state.version = version
redis.call('SET', state_key, cmsgpack.pack(state))

local answer = {cmsgpack.pack({1, is_learning, granted, now, unreadable})}
local reports = redis.call('HGETALL', reports_key)
for i = 1, #reports, 2 do
  if live[reports[i]] then
    answer[#answer + 1] = reports[i]
    answer[#answer + 1] = reports[i + 1]
  elseif not kept[reports[i]] then
    redis.call('HDEL', reports_key, reports[i])
  end
end
return answer
