// openai-node against one way through the gateway. Started by ../test_openai_node.py, which says where everything is.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import OpenAI from 'openai';
import { zodFunction, zodResponseFormat } from 'openai/helpers/zod';
import { z } from 'zod';

const { FAIRPOD_URL, FAIRPOD_EMULATOR_URL, FAIRPOD_KEY, FAIRPOD_LIMITED_KEY, FAIRPOD_NARROW_KEY } = process.env;
const isJobRoute = process.env.FAIRPOD_ROUTE === 'job';
const speaksOpenAI = process.env.FAIRPOD_SPEAKS_OPENAI === 'yes';
const streamsAtOnce = process.env.FAIRPOD_STREAMS_AT_ONCE === 'yes';

const clientWith = (options) =>
  new OpenAI({ baseURL: `${FAIRPOD_URL}/v1`, apiKey: FAIRPOD_KEY, maxRetries: 0, timeout: 20_000, ...options });
const client = clientWith({});
const say = (content) => [{ role: 'user', content }];
const ask = (content, more = {}) => ({ model: 'm', messages: say(content), ...more });

const WEATHER = {
  type: 'function',
  function: {
    name: 'get_weather',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
};
const Person = z.object({ name: z.string(), age: z.number().int() });

/** Tests of what only workers that speak OpenAI can do. */
const openaiTest = speaksOpenAI ? test : () => {};

/** Tests of what needs a first word long before the last one. */
const promptTest = streamsAtOnce ? test : () => {};

async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

const textOf = (chunks) => chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('');

function checkChunks(chunks) {
  for (const chunk of chunks) {
    assert.equal(chunk.object, 'chat.completion.chunk');
    assert.equal(chunk.model, 'm');
    assert.equal(chunk.id, chunks[0].id);
    assert.equal(chunk.created, chunks[0].created);
    assert.ok(!('error' in chunk));
  }
  const parts = chunks.flatMap((chunk) => chunk.choices);
  assert.deepEqual(parts.flatMap((part, index) => ('role' in part.delta ? [index] : [])), [0]);
  assert.equal(parts[0].delta.role, 'assistant');
  assert.deepEqual(parts.flatMap((part, index) => (part.finish_reason ? [index] : [])), [parts.length - 1]);
}

async function failure(call, kind, expected) {
  const error = await call().then(
    () => assert.fail('it did not fail'),
    (thrown) => thrown,
  );
  assert.ok(error instanceof kind, `${error.constructor.name} is not ${kind.name}: ${error.message}`);
  for (const [name, value] of Object.entries(expected)) assert.equal(error[name], value, name);
  assert.ok(error.requestID);
  assert.equal(typeof error.type, 'string');
  assert.ok(!error.message.includes('no body'));
  return error;
}

async function eventually(condition) {
  const endsAt = Date.now() + 5000;
  while (!(await condition())) {
    assert.ok(Date.now() < endsAt, 'it did not come true in time');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function cancelledJobs() {
  const answer = await (await fetch(`${FAIRPOD_EMULATOR_URL}/emulator/calls`)).json();
  const calls = Array.isArray(answer) ? answer : answer.calls;
  return calls.filter((call) => call.operation === 'cancel' && call.status === 200).map((call) => call.job_id);
}

test('chat', async () => {
  const completion = await client.chat.completions.create(ask('count to 5'));
  assert.equal(completion.object, 'chat.completion');
  assert.match(completion.id, /^chatcmpl-/);
  assert.equal(completion.model, 'm');
  assert.equal(completion.choices[0].message.role, 'assistant');
  assert.equal(completion.choices[0].message.content, '1 2 3 4 5');
  assert.equal(completion.choices[0].finish_reason, 'stop');
  assert.equal(completion.usage.total_tokens, completion.usage.prompt_tokens + completion.usage.completion_tokens);
  assert.ok(completion._request_id);
});

test('headers', async () => {
  const { data, response, request_id } = await client.chat.completions.create(ask('Hello')).withResponse();
  assert.equal(request_id, data._request_id);
  assert.equal(response.headers.get('content-type'), 'application/json');
  assert.equal(response.headers.get('x-fairpod-endpoint'), 'chat');
  assert.equal(Boolean(response.headers.get('x-fairpod-job-id')), isJobRoute);
});

test('text of every script comes unharmed', async () => {
  const text = 'naïve 你好 🙂\u2028next line\r\n\ttab \\ / <b> data: [DONE]\n\nid: 3\n\n';
  const completion = await client.chat.completions.create(ask(`say "${text}"`));
  assert.equal(completion.choices[0].message.content, text);
  const stream = await client.chat.completions.create(ask(`say "${text}"`, { stream: true }));
  assert.equal(textOf(await collect(stream)), text);
});

test('a stream without usage', async () => {
  const chunks = await collect(await client.chat.completions.create(ask('count to 30', { stream: true })));
  checkChunks(chunks);
  assert.equal(textOf(chunks), Array.from({ length: 30 }, (_, index) => index + 1).join(' '));
  assert.ok(chunks.every((chunk) => !chunk.usage && chunk.choices.length === 1));
});

test('a stream with usage', async () => {
  const options = { stream: true, stream_options: { include_usage: true } };
  const chunks = await collect(await client.chat.completions.create(ask('count to 30', options)));
  checkChunks(chunks);
  assert.deepEqual(chunks.flatMap((chunk, index) => (chunk.usage ? [index] : [])), [chunks.length - 1]);
  assert.deepEqual(chunks.at(-1).choices, []);
  assert.equal(chunks.at(-1).usage.completion_tokens, 30);
});

test('the stream helper', async () => {
  const runner = client.chat.completions.stream(ask('count to 5', { stream_options: { include_usage: true } }));
  let text = '';
  runner.on('content', (delta) => (text += delta));
  const final = await runner.finalChatCompletion();
  assert.equal(text, '1 2 3 4 5');
  assert.equal(final.choices[0].message.content, '1 2 3 4 5');
  assert.equal(final.choices[0].message.role, 'assistant');
  assert.equal((await runner.totalUsage()).completion_tokens, 5);
});

openaiTest('the stream helper with tool calls', async () => {
  const runner = client.chat.completions.stream(ask('What is the weather in "Ōsaka"?', { tools: [WEATHER] }));
  const final = await runner.finalChatCompletion();
  const [call, ...others] = final.choices[0].message.tool_calls;
  assert.deepEqual(others, []);
  assert.equal(call.type, 'function');
  assert.ok(call.id);
  assert.deepEqual([call.function.name, call.function.arguments], ['get_weather', '{"city": "Ōsaka"}']);
  assert.equal(final.choices[0].finish_reason, 'tool_calls');
});

for (const stream of [false, true]) {
  openaiTest(`tools are run, ${stream ? 'streamed' : 'whole'}`, async () => {
    const asked = [];
    const tool = {
      ...WEATHER,
      function: {
        ...WEATHER.function,
        parse: JSON.parse,
        function: ({ city }) => (asked.push(city), `Rain in ${city}.`),
      },
    };
    const runner = client.chat.completions.runTools(ask('What is the weather in "Oslo"?', { tools: [tool], stream }));
    assert.equal(await runner.finalContent(), 'The tool answered: Rain in Oslo.');
    assert.deepEqual(asked, ['Oslo']);
  });
}

openaiTest('parse', async () => {
  const format = { response_format: zodResponseFormat(Person, 'person') };
  const asked = ask('I am "Ada" and 36 years old.', format);
  const completion = await client.chat.completions.parse(asked);
  assert.deepEqual(completion.choices[0].message.parsed, { name: 'Ada', age: 36 });
  const streamed = await client.chat.completions.stream(asked).finalChatCompletion();
  assert.deepEqual(streamed.choices[0].message.parsed, { name: 'Ada', age: 36 });
});

openaiTest('parsed arguments', async () => {
  const tools = [zodFunction({ name: 'store_person', parameters: Person })];
  const asked = ask('Store "Ada", who is 36.', { tools, tool_choice: 'required' });
  const completion = await client.chat.completions.parse(asked);
  const [call] = completion.choices[0].message.tool_calls;
  assert.deepEqual(call.function.parsed_arguments, { name: 'Ada', age: 36 });
});

test('choices', async () => {
  const completion = await client.chat.completions.create(ask('count to 3', { n: 2 }));
  assert.deepEqual(completion.choices.map((choice) => [choice.index, choice.message.content]), [
    [0, '1 2 3'],
    [1, '1 2 3'],
  ]);
});

test('completions', async () => {
  const completion = await client.completions.create({ model: 'm', prompt: 'count to 4' });
  assert.deepEqual([completion.object, completion.choices[0].text], ['text_completion', '1 2 3 4']);
  const chunks = await collect(await client.completions.create({ model: 'm', prompt: 'count to 4', stream: true }));
  assert.equal(chunks.map((chunk) => chunk.choices[0].text).join(''), '1 2 3 4');
});

openaiTest('embeddings', async () => {
  const input = ['one', 'two words'];
  const decoded = await client.embeddings.create({ model: 'm', input });
  const floats = await client.embeddings.create({ model: 'm', input, encoding_format: 'float' });
  assert.equal(decoded.model, 'm');
  assert.equal(decoded.data.length, 2);
  for (const [position, { embedding, index }] of decoded.data.entries()) {
    assert.equal(index, position);
    assert.equal(embedding.length, 16);
    const plain = floats.data[position].embedding;
    for (const [place, number] of embedding.entries()) assert.ok(Math.abs(number - plain[place]) < 1e-6);
  }
});

test('models', async () => {
  const ids = [];
  for await (const model of client.models.list()) {
    ids.push(model.id);
    assert.deepEqual(await client.models.retrieve(model.id).then(({ id, object }) => [id, object]), [model.id, 'model']);
  }
  assert.deepEqual(ids, ['m', 'org/with-slash', 'm-too']);
});

test('failures are the classes that they should be', async () => {
  const wrong = clientWith({ apiKey: 'wrong' });
  for (const call of [() => wrong.chat.completions.create(ask('Hello')), () => wrong.models.list()]) {
    await failure(call, OpenAI.AuthenticationError, { status: 401, code: 'invalid_api_key' });
  }
  for (const stream of [false, true]) {
    const unknown = () => client.chat.completions.create({ ...ask('Hello', { stream }), model: 'no-such-model' });
    const expected = { status: 404, code: 'model_not_found', param: 'model', type: 'invalid_request_error' };
    await failure(unknown, OpenAI.NotFoundError, expected);
    const bad = () => client.chat.completions.create(ask('Hello', { n: 0, stream }));
    await failure(bad, OpenAI.BadRequestError, { status: 400, code: 'invalid_value', param: 'n' });
    const failed = () => client.chat.completions.create(ask('Hello #fail=platform', { stream }));
    await failure(failed, OpenAI.InternalServerError, { status: 502, type: 'server_error' });
  }
  const narrow = () => clientWith({ apiKey: FAIRPOD_NARROW_KEY }).chat.completions.create(ask('Hello'));
  await failure(narrow, OpenAI.PermissionDeniedError, { status: 403, code: 'model_not_allowed' });
});

test('a rate limit', async () => {
  const limited = clientWith({ apiKey: FAIRPOD_LIMITED_KEY });
  await limited.chat.completions.create(ask('Hello'));
  await limited.chat.completions.create(ask('Hello'));
  const refused = () => limited.chat.completions.create(ask('Hello', { stream: true }));
  const error = await failure(refused, OpenAI.RateLimitError, { status: 429, code: 'rate_limit_exceeded' });
  const seconds = Number(error.headers.get('retry-after'));
  assert.ok(Number.isInteger(seconds) && seconds >= 1 && seconds <= 60);
  assert.ok(Number(error.headers.get('retry-after-ms')) > 0);
});

test('a failure in the middle of a stream is thrown', async () => {
  const asked = ask('count to 40 #fail=platform #fail-after=2 #interval=0.02', { stream: true });
  const call = client.chat.completions.create(asked).then(collect);
  await assert.rejects(call, (error) => error instanceof OpenAI.APIError && Boolean(error.message));
});

test('responses are not stored, and the answer says what to do', async () => {
  const error = await failure(() => client.responses.retrieve('resp_1'), OpenAI.NotFoundError, {
    status: 404,
    code: 'unknown_url',
  });
  assert.match(error.message, /whole conversation/);
});

promptTest('a stream that is left', async () => {
  const { data: stream, response } = await client.chat.completions
    .create(ask('slowly count to 100', { stream: true }))
    .withResponse();
  for await (const _ of stream) break;
  assert.ok(stream.controller.signal.aborted);
  if (!isJobRoute) return;
  const jobId = response.headers.get('x-fairpod-job-id');
  await eventually(async () => (await cancelledJobs()).includes(jobId));
});

test('a request that is aborted', async () => {
  const known = new Set(isJobRoute ? await cancelledJobs() : []);
  const abort = new AbortController();
  setTimeout(() => abort.abort(), 500);
  const call = client.chat.completions.create(ask('slowly count to 400'), { signal: abort.signal });
  await assert.rejects(call, OpenAI.APIUserAbortError);
  if (isJobRoute) await eventually(async () => (await cancelledJobs()).some((jobId) => !known.has(jobId)));
});

test('fifty streams at once do not mix', async () => {
  await Promise.all(
    Array.from({ length: 50 }, async (_, number) => {
      const text = Array(number + 3).fill(`w${number}`).join(' ');
      const stream = await client.chat.completions.create(ask(`say "${text}"`, { stream: true }));
      assert.equal(textOf(await collect(stream)), text);
    }),
  );
});
