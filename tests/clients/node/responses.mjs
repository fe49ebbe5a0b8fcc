// openai-node's Responses API against a worker that thinks. Started by ../test_responses_node.py.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import OpenAI from 'openai';

const { FAIRPOD_URL, FAIRPOD_KEY } = process.env;
const client = new OpenAI({ baseURL: `${FAIRPOD_URL}/v1`, apiKey: FAIRPOD_KEY, maxRetries: 0, timeout: 20_000 });
const ask = { model: 'm', input: 'Hello' };

function check(response) {
  assert.equal(response.status, 'completed');
  assert.deepEqual(response.output.map((item) => item.type), ['reasoning', 'message', 'function_call']);
  assert.equal(response.output[0].content[0].text, 'So it is.');
  assert.equal(response.output_text, 'Hello there');
  assert.deepEqual(JSON.parse(response.output[2].arguments), { city: 'Oslo' });
  assert.equal(response.usage.total_tokens, 5);
}

test('the stream helper, with reasoning', async () => {
  const stream = client.responses.stream(ask);
  const deltas = { 'response.reasoning_text.delta': '', 'response.output_text.delta': '' };
  let next = 0;
  for await (const event of stream) {
    assert.equal(event.sequence_number, next++);
    if (event.type in deltas) deltas[event.type] += event.delta;
  }
  assert.deepEqual(Object.values(deltas), ['So it is.', 'Hello there']);
  check(await stream.finalResponse());
});

test('a whole response', async () => {
  const response = await client.responses.create(ask);
  check(response);
  assert.ok(response._request_id);
});
