-- One entry of one process in the journal of open jobs, and the jobs of processes that are dead. Redis runs it as a
-- whole, so a job that is left has one heir.
--
-- KEYS: the processes and when each was heard of (a sorted set), their open jobs (a hash for each: this name, a colon and
-- the process). ARGV: the process, what it wants (MessagePack), the ids of so many jobs that are closed, then id and record of
-- each job that it opened.
-- Returns whether the process was known; the ids of jobs that another one had, and of those that it has to give back;
-- how many keys had to be deleted; then id and record of each job that it inherits, or of all that it has where it
-- recalls them.
--
-- A process that is taken for dead may live, and come back. Who has its jobs is kept for a while below the name that it
-- had (:taken:). With its next entry it takes back what its heir still has, and the heir is told so (:returned:) until
-- it closes them. What the heir has closed by then is over; and of what comes back, a cancel may be under way.

local processes_key, jobs_key = KEYS[1], KEYS[2]
local process = ARGV[1]
local is_recall, is_leaving, silent_s, keep_s, taken_s, closed = unpack(cmsgpack.unpack(ARGV[2]))
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000

local unreadable = 0

-- A key of another type than ours fails every command on it, and with it the entry of every process that comes upon it:
-- nobody could read it, so it is deleted. Returns its name.
local function sound(key, kind)
  local found = redis.call('TYPE', key).ok
  if found ~= 'none' and found ~= kind then
    redis.call('DEL', key)
    unreadable = unreadable + 1
  end
  return key
end

sound(processes_key, 'zset')
local own = sound(jobs_key .. ':' .. process, 'hash')
local own_returned = sound(processes_key .. ':returned:' .. process, 'set')

local function jobs_of(name) return sound(jobs_key .. ':' .. name, 'hash') end
local function taken_from(name) return sound(processes_key .. ':taken:' .. name, 'hash') end

local function take_back(job, heir)
  -- The heir may have died as well, and its heir after it.
  for _ = 1, 100 do
    if not heir then return end
    local record = redis.call('HGET', jobs_of(heir), job)
    if record then
      redis.call('HDEL', jobs_of(heir), job)
      redis.call('HSET', own, job, record)
      local returned = sound(processes_key .. ':returned:' .. heir, 'set')
      redis.call('SADD', returned, job)
      redis.call('EXPIRE', returned, keep_s)
      return
    end
    heir = redis.call('HGET', taken_from(heir), job)
  end
end

local taken = {}
local heirs = redis.call('HGETALL', taken_from(process))
for i = 1, #heirs, 2 do
  take_back(heirs[i], heirs[i + 1])
  taken[#taken + 1] = heirs[i]
end
redis.call('DEL', taken_from(process))

for i = 3 + closed, #ARGV, 2 do redis.call('HSET', own, ARGV[i], ARGV[i + 1]) end
for i = 3, 2 + closed do
  redis.call('HDEL', own, ARGV[i])
  redis.call('SREM', own_returned, ARGV[i])
end
local returned = redis.call('SMEMBERS', own_returned)
for _, job in ipairs(returned) do redis.call('HDEL', own, job) end

local answer = {redis.call('ZSCORE', processes_key, process) and 1 or 0, taken, returned, 0}

-- A process that was cut off does not know who else is silent: it inherits from nobody (a silence below zero).
local dead = silent_s >= 0 and redis.call('ZRANGEBYSCORE', processes_key, '-inf', now - silent_s) or {}
for _, other in ipairs(dead) do
  if other ~= process then
    local left, heirs_of_left = jobs_of(other), taken_from(other)
    local jobs = redis.call('HGETALL', left)
    for i = 1, #jobs, 2 do
      redis.call('HSET', own, jobs[i], jobs[i + 1])
      redis.call('SREM', own_returned, jobs[i])
      redis.call('HSET', heirs_of_left, jobs[i], process)
      if not is_recall then
        answer[#answer + 1] = jobs[i]
        answer[#answer + 1] = jobs[i + 1]
      end
    end
    redis.call('DEL', left)
    redis.call('EXPIRE', heirs_of_left, taken_s)
    redis.call('ZREM', processes_key, other)
  end
end
if is_recall then
  for _, part in ipairs(redis.call('HGETALL', own)) do answer[#answer + 1] = part end
end

-- What a process leaves open when it goes is the next one's to cancel, at once.
redis.call('ZADD', processes_key, is_leaving and 0 or now, process)
redis.call('EXPIRE', own, keep_s)
redis.call('EXPIRE', processes_key, keep_s)
answer[4] = unreadable
return answer
