-- One heartbeat of one replica: what it may hold and send until the next one. Redis runs the script as a whole, so it
-- needs no locks; the rules are those of docs/decisions/0005.
--
-- For each class of calls a replica has a limit of seats, the epoch in which it was told that limit, and an upper
-- bound of what it may be using. The bounds of all replicas never add up to more than the class has, because
--  * a limit grows only into what no bound covers;
--  * a bound shrinks only when the replica has confirmed the epoch of the smaller limit, to what it still holds;
--  * a replica that falls silent keeps its whole bound for `hold_s`, as any of it may be in use; one that leaves keeps
--    what it still holds.
-- Rates are leaky buckets: tokens are granted up to the burst and expire unused within one heartbeat.
--
-- KEYS: leases by replica, reports by replica, the state of all. ARGV: the heartbeat, the report (both MessagePack).
-- Returns the answer in MessagePack, then id and report of every other live replica. The answer begins with 1; with 0
-- after the last heartbeat of a replica that leaves; with -1 if a later heartbeat came before this one; with -2 if a
-- later process has the same name.

local leases_key, reports_key, state_key = KEYS[1], KEYS[2], KEYS[3]
local replica, incarnation, number, is_leaving, hold_s, live_s, settle_s, asked = unpack(cmsgpack.unpack(ARGV[1]))
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000

-- Positions in the record of one class in a lease. A class without a rate is work: its seats are held by jobs.
local EPOCH, LIMIT, BOUND, IS_WORK = 1, 2, 3, 4
-- Positions in the level of a leaky bucket.
local HEIGHT, AT = 1, 2
local ACCEPTED, LEFT, OVERTAKEN_BY_HEARTBEAT, OVERTAKEN_BY_PROCESS = 1, 0, -1, -2

-- A record that is damaged or of another version is skipped: it must not stop those that can be read.
local version, unreadable = 1, 0

local function are_numbers(...)
  for i = 1, select('#', ...) do
    local value = select(i, ...)
    -- Infinity and NaN are rejected too: they would spoil every sum.
    if type(value) ~= 'number' or not (math.abs(value) < 1e15) then return false end
  end
  return true
end

local function is_lease(lease)
  if type(lease.incarnation) ~= 'string' or type(lease.classes) ~= 'table' then return false end
  for _, class in pairs(lease.classes) do
    if type(class) ~= 'table' or not are_numbers(class[EPOCH], class[LIMIT], class[BOUND]) then return false end
  end
  return are_numbers(lease.number, lease.seen, lease.hold_s)
end

local function is_state(found)
  return type(found.levels) == 'table' and are_numbers(found.born, found.heard, found.learning_until)
end

local function read(record, is_valid)
  if not record then return nil end
  local is_read, found = pcall(cmsgpack.unpack, record)
  if is_read and type(found) == 'table' and (found.version or version) == version and is_valid(found) then
    return found
  end
  unreadable = unreadable + 1
  return nil
end

local function answer_without_grants(code) return {cmsgpack.pack({code, false, {}})} end

local function delete(id)
  redis.call('HDEL', leases_key, id)
  redis.call('HDEL', reports_key, id)
end

-- Keeps the seats of jobs that go on at Runpod without the process that submitted them, as if it had fallen silent.
local function keep_ghost(lease, classes)
  local ghost = {incarnation = lease.incarnation, number = 0, seen = lease.seen, hold_s = lease.hold_s}
  ghost.classes = classes
  redis.call('HSET', leases_key, replica .. ' ' .. lease.incarnation, cmsgpack.pack(ghost))
  return ghost
end

-- Gives back all seats but those of jobs that the replica could not end.
local function leave()
  local lease = read(redis.call('HGET', leases_key, replica), is_lease)
  -- Without a lease there is nothing to give back, and that of a later process is not this one's to give.
  if not lease or lease.incarnation ~= incarnation then return end
  delete(replica)
  local classes = {}
  for _, ask in ipairs(asked) do
    local name, _, _, _, _, _, held = unpack(ask)
    local class = lease.classes[name]
    if class and class[IS_WORK] and math.min(class[BOUND], held) > 0 then
      classes[name] = {class[EPOCH], class[LIMIT], math.min(class[BOUND], held), true}
    end
  end
  if next(classes) then keep_ghost(lease, classes) end
end

-- While the store is learning, no limit grows: replicas may use seats of which the store does not know.
local function learn_until(state, at) state.learning_until = math.max(state.learning_until, at) end

-- Without a state the store is new or lost its data, and after a long silence it does not know with how many seats
-- replicas continued. In both cases it waits until each had time to report.
local function read_state()
  local state = read(redis.call('GET', state_key), is_state)
  state = state or {born = now, heard = now, learning_until = now + settle_s, levels = {}}
  if now - state.heard > hold_s / 2 then learn_until(state, now + settle_s) end
  state.heard = now
  return state
end

-- Returns the lease stored for this replica, and those of all others as a list; deletes what is unreadable or too old.
local function read_leases(state)
  local mine, others = nil, {}
  local stored = redis.call('HGETALL', leases_key)
  for i = 1, #stored, 2 do
    local id, lease = stored[i], read(stored[i + 1], is_lease)
    if not lease then
      -- If its process is alive, it writes the lease again with its next heartbeat.
      redis.call('HDEL', leases_key, id)
      learn_until(state, now + settle_s)
    elseif id == replica then
      mine = lease
    elseif now - lease.seen > lease.hold_s then
      delete(id)
    else
      lease.id, lease.is_live = id, now - lease.seen <= live_s
      others[#others + 1] = lease
    end
  end
  return mine, others
end

-- Keeps the seats of an earlier process of this name. Its calls ended with it, its jobs did not.
local function replace_earlier(lease)
  local classes = {}
  for name, class in pairs(lease.classes) do
    if class[IS_WORK] and class[BOUND] > 0 then classes[name] = class end
  end
  return keep_ghost(lease, classes)
end

-- Returns epoch, limit and bound of a class before more or less of it is granted.
local function known_of(ask, mine, state)
  local name, _, _, _, epoch, limit, held = unpack(ask)
  local known = mine and mine.classes[name]
  if known then
    local bound = known[BOUND]
    local confirmed = epoch == known[EPOCH]
    if confirmed then bound = math.max(known[LIMIT], held) end
    return known[EPOCH], known[LIMIT], bound
  end
  -- The replica is new here, or forgotten. What it believes to have counts, whether or not there is so much.
  if epoch > 0 and now < state.learning_until then
    -- It had a limit before this store knew of any replica: the store lost its data, and others may be silent.
    learn_until(state, state.born + hold_s)
  end
  return epoch + 1, limit, math.max(limit, held)
end

-- Returns the sum of the other replicas' bounds, and the part of it that belongs to silent ones.
local function bounds_of(others, name)
  local all, silent = 0, 0
  for _, other in ipairs(others) do
    local class = other.classes[name]
    if class then
      all = all + class[BOUND]
      if not other.is_live then silent = silent + class[BOUND] end
    end
  end
  return all, silent
end

-- Takes tokens from the leaky bucket of a class, as many as wanted and available, and returns their number.
local function take_tokens(ask, state)
  local name, _, rate, burst, _, _, _, _, want = unpack(ask)
  if rate <= 0 then return 0 end
  local level = state.levels[name]
  if type(level) ~= 'table' or not are_numbers(level[HEIGHT], level[AT]) then level = {burst, now} end
  local height = math.max(0, level[HEIGHT] - rate * math.max(0, now - level[AT]))
  local tokens = math.max(0, math.floor(math.min(want, burst - height)))
  state.levels[name] = {height + tokens, now}
  return tokens
end

-- Returns the record of a class in the new lease, and what the replica is told of it.
local function grant(ask, mine, others, state, is_learning)
  local name, seats, rate, _, _, _, _, target = unpack(ask)
  local epoch, limit, bound = known_of(ask, mine, state)
  local others_bound, silent = bounds_of(others, name)
  local taken = bound + others_bound
  local free = is_learning and 0 or math.max(0, seats - taken)
  local new = math.min(target, bound + free)
  if new ~= limit then
    limit, epoch = new, epoch + 1
    -- Until the replica confirms a smaller limit, it may use the larger one.
    bound = math.max(bound, new)
  end
  return {epoch, limit, bound, rate == 0}, {epoch, limit, take_tokens(ask, state), silent}
end

-- Appends the reports of live replicas to the answer, and deletes those without a lease.
local function append_reports(answer, others)
  local is_kept, is_live = {[replica] = true}, {}
  for _, other in ipairs(others) do
    if other.id then is_kept[other.id], is_live[other.id] = true, other.is_live end
  end
  local reports = redis.call('HGETALL', reports_key)
  for i = 1, #reports, 2 do
    local id = reports[i]
    if is_live[id] then
      answer[#answer + 1] = id
      answer[#answer + 1] = reports[i + 1]
    elseif not is_kept[id] then
      redis.call('HDEL', reports_key, id)
    end
  end
  return answer
end

if is_leaving then
  leave()
  return answer_without_grants(LEFT)
end

local state = read_state()
local mine, others = read_leases(state)

-- Incarnations begin with the time of their start, so the smaller one is the earlier. An earlier process has to yield
-- only to one that is alive: if a clock was set back between two starts, the process that is gone seems the later one,
-- and no other could ever follow it.
local is_mine_live = mine and math.abs(now - mine.seen) <= live_s
if is_mine_live and incarnation < mine.incarnation then return answer_without_grants(OVERTAKEN_BY_PROCESS) end
if mine and mine.incarnation ~= incarnation then
  others[#others + 1] = replace_earlier(mine)
  mine = nil
end
if mine and number <= mine.number then return answer_without_grants(OVERTAKEN_BY_HEARTBEAT) end

local is_learning = now < state.learning_until
local classes, granted = {}, {}
for i, ask in ipairs(asked) do
  classes[ask[1]], granted[i] = grant(ask, mine, others, state, is_learning)
end

local lease = {version = version, incarnation = incarnation, number = number, seen = now, hold_s = hold_s}
lease.classes = classes
redis.call('HSET', leases_key, replica, cmsgpack.pack(lease))
redis.call('HSET', reports_key, replica, ARGV[2])
state.version = version
redis.call('SET', state_key, cmsgpack.pack(state))
return append_reports({cmsgpack.pack({ACCEPTED, is_learning, granted, now, unreadable})}, others)
