import re

import pytest

from gateway.translate import credentials
from gateway.translate.credentials import REDACTED, without_credentials
from tests.patterns import reach_of

X = REDACTED
HIDDEN = {
    # Names, signs, and values.
    "password=hunter2": f"password={X}",
    "pass=abc DB_PASS=12345 PGPASSWORD=hunter2 x": f"pass={X} DB_PASS={X} PGPASSWORD={X} x",
    "user: bob pass: hunter2": f"user: bob pass: {X}",
    "password => hunter2, n => 1": f"password => {X}, n => 1",
    "password := hunter2": f"password := {X}",
    "password is hunter2": f"password is {X}",
    "the secret was: hunter2": f"the secret was: {X}",
    "api key 'hunter' is wrong": f"api key '{X}' is wrong",
    "'password' => 'hunter2', 'n' => 1": f"'password' => '{X}', 'n' => 1",
    'accessToken: "abc" hfToken=abcdef': f'accessToken: "{X}" hfToken={X}',
    "{'token': 'abcdefgh'}": f"{{'token': '{X}'}}",
    "Invalid token: abcdefgh": f"Invalid token: {X}",
    "Invalid key: hunter2": f"Invalid key: {X}",
    "next token: abcdefgh12345678": f"next token: {X}",
    "x-api-key: abc": f"x-api-key: {X}",
    "AccountKey=abc==;EndpointSuffix=core": f"AccountKey={X};EndpointSuffix=core",
    "X-Amz-Signature=hunter2&x=1": f"X-Amz-Signature={X}&x=1",
    "private_key: abc": f"private_key: {X}",
    "Missing key: token=abc": f"Missing key: token={X}",
    "(password=hunter2).": f"(password={X}).",
    "password: [hunter2]": f"password: [{X}]",
    f"{'x' * 100}password=hunter2": f"{'x' * 100}password={X}",
    "Incorrect API key provided: abcd****wxyz. See": f"Incorrect API key provided: {X}. See",
    # Values with blanks and signs in them.
    'password="hunter two, and & more)" rest': f'password="{X}" rest',
    "{'password': 'a, b & c)', 'n': 1}": f"{{'password': '{X}', 'n': 1}}",
    r"""{"password": "a \"quoted\" one", "n": 1}""": f'{{"password": "{X}", "n": 1}}',
    r"""{\"password\": \"hunter 2\", \"n\": 1}""": rf'{{\"password\": \"{X}\", \"n\": 1}}',
    "password='cut off here": f"password='{X}",
    "password=hun'ter2 x": f"password={X} x",
    "user=bob,password=hun,ter2 x": f"user=bob,password={X} x",
    "a=1&password=hunter2&b=2": f"a=1&password={X}&b=2",
    'password=b"hunter 2"': f'password=b"{X}"',
    '{"api_keys": ["abc", "def"], "n": 1}': f'{{"api_keys": [{X}], "n": 1}}',
    "[(b'x-api-key', b'hunter2')]": f"[(b'x-api-key', b'{X}')]",
    # Headers.
    "Authorization: Bearer abc.def-123 was refused": f"Authorization: {X} was refused",
    "Authorization: Token hunter2 was refused": f"Authorization: {X} was refused",
    "Authorization: ApiKey abcdef was refused": f"Authorization: {X} was refused",
    "Authorization: Negotiate YIIabcdef== was refused": f"Authorization: {X} was refused",
    'Authorization: Digest username="bob", response="abc" was refused': f"Authorization: {X} was refused",
    "Proxy-Authorization: Basic dXNlcjpwYXNz x": f"Proxy-Authorization: {X} x",
    '{"Authorization": "Token hunter two"}': f'{{"Authorization": "{X}"}}',
    "Cookie: a=1; session=hunter2; b=xyz\nHost: x": f"Cookie: {X}\nHost: x",
    "Set-Cookie: id=a; Expires=Wed, 21 Oct 2026; t=hunter2": f"Set-Cookie: {X}",
    '{"Cookie": "a=1; b=2", "n": 1}': f'{{"Cookie": "{X}", "n": 1}}',
    "Bearer abcdefghijkl was refused": f"Bearer {X} was refused",
    "Bearer rpa_WORKERKEY was refused": f"Bearer {X} was refused",
    "Basic dXNlcjpwYXNz was refused": f"Basic {X} was refused",
    "Password for user bob: hunter2": f"Password for user bob: {X}",
    "token_type=bearer access_token=abcdef": f"token_type=bearer access_token={X}",
    "Basic abcdefgh was refused": f"Basic {X} was refused",
    "Basic abcdefghijkl was refused": f"Basic {X} was refused",
    '{"authorization": ["Token hunter2"]}': f'{{"authorization": ["{X}"]}}',
    "Bearer: abcdefgh": f"Bearer: {X}",
    "<db:password>hunter 2</db:password>": f"<db:password>{X}</db:password>",
    "GET /v1?a=1&key=hunter&token=abc": f"GET /v1?a=1&key={X}&token={X}",
    # Command lines.
    "curl -u bob:hunter2 x": f"curl -u {X} x",
    "curl --user 'bob:hunter two' x": f"curl --user '{X}' x",
    "serve --api-key hunter2 --port 8000": f"serve --api-key {X} --port 8000",
    "args: --token=hunter2 --port=1": f"args: --token={X} --port=1",
    "['vllm', '--api-key', 'hunter two', '--port', '1']": f"['vllm', '--api-key', '{X}', '--port', '1']",
    '["vllm","--hf-token","hunter","m"]': f'["vllm","--hf-token","{X}","m"]',
    r"[\"vllm\", \"--hf-token\", \"hunter\"]": rf"[\"vllm\", \"--hf-token\", \"{X}\"]",
    "mysql -uroot -phunter -h db": f"mysql -uroot -p{X} -h db",
    "['mysqldump', '-u', 'root', '-phunter']": f"['mysqldump', '-u', 'root', '-p{X}']",
    "sshpass -p hunter ssh x": f"sshpass -p {X} ssh x",
    # A user and a password as a pair.
    "get(url, auth=('bob', 'hunter'))": f"get(url, auth=({X}))",
    "HTTPBasicAuth('bob', \"hunter's\") failed": f"HTTPBasicAuth({X}) failed",
    # Sentences.
    "HF_TOKEN 'hunter' was refused": f"HF_TOKEN '{X}' was refused",
    "HF_TOKEN is set to hunter": f"HF_TOKEN is set to {X}",
    'MY_APP_TOKEN: "hunter"': f'MY_APP_TOKEN: "{X}"',
    "Wrong password (hunter)": f"Wrong password ({X})",
    "password (hunter2) was rejected": f"password ({X}) was rejected",
    "Token 'hunter22' is invalid": f"Token '{X}' is invalid",
    "Token 'abcdefghijklmnopqrst' is invalid": f"Token '{X}' is invalid",
    "Token 'hunter' was revoked": f"Token '{X}' was revoked",
    "Token 'hunter' is not authorized": f"Token '{X}' is not authorized",
    # What only looks like the name of a field.
    "password: 'hunter' is wrong": f"password: '{X}' is wrong",
    "password: 'hunter' is too short": f"password: '{X}' is too short",
    "password: 'hunter' is not a good one": f"password: '{X}' is not a good one",
    "password: 'hunter' must be longer": f"password: '{X}' must be longer",
    "password: 'hunter' must not be used": f"password: '{X}' must not be used",
    "password: 'hunter2' is required": f"password: '{X}' is required",
    "password='hunter' is required": f"password='{X}' is required",
    "cookie: 'hunter' is wrong": f"cookie: '{X}' is wrong",
    "Cookie: required=1; session=hunter": f"Cookie: {X}",
    "key: 'abcd1234.efgh5678'": f"key: '{X}'",
    "key=deep_blue_sea_of_the_north": f"key={X}",
    "{'key': 'deep_blue_sea_of_the_north'}": f"{{'key': '{X}'}}",
    "key: abcdefghijklmnopqrstuvwxyz": f"key: {X}",
    "the key hunter22 is not authorized": f"the key {X} is not authorized",
    "key abcdefgh12345678 is invalid": f"key {X} is invalid",
    "key 'hunter' was revoked": f"key '{X}' was revoked",
    "invalid api key hunter": f"invalid api key {X}",
    "Invalid API key hunter2hunter2 for x": f"Invalid API key {X} for x",
    "X-API-KEY hunter2hunter2": f"X-API-KEY {X}",
    "with token hunter2hunter2.": f"with token {X}.",
    "in Authorization header: hunter2": f"in Authorization header: {X}",
    # Other signs and names.
    "jwt=hunter, x": f"jwt={X}, x",
    "user%3Dbob password%3Dhunter": f"user%3Dbob password%3D{X}",
    "%22token%22%3A%22hunter%22": f"%22token%22%3A{X}",
    # Their own form.
    "-----BEGIN PRIVATE KEY-----\nMIIEvQ+/=\n-----END PRIVATE KEY----- rest": f"{X} rest",
    "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNz": X,
    r'{"private_key": "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n"}':
        rf'{{"private_key": "{X}\n"}}',
    "got eyJhbGciOiJI.eyJzdWIiOiIx.abc": f"got {X}",
    "got eyJhbGciOiJIUzI1": f"got {X}",
    r"Error:\nrpa_ABCDEFGH": rf"Error:\n{X}",
    "my_sk-abcdefgh": f"my_{X}",
}  # fmt: skip
TOKENS = [
    "sk-proj-abc12345", "sk_live_abcdefgh", "rpa_ABCDEFGH", "hf_abcdefgh1234", "hf_abcdefghijklmnopqrstuvwxyzabcdefgh",
    "ghp_abcdefgh", "gho_abcdefgh", "ghu_abcdefgh", "ghs_abcdefgh", "ghr_abcdefgh", "github_pat_abcdefgh",
    "glpat-abcdefgh", "AKIAABCDEFGH1234", "ASIAABCDEFGH1234", "AIzaabcdefgh", "xoxa-abcdefgh", "xoxb-12345678",
    "xoxp-12345678", "r8_abcdefgh", "xai-abcdefgh", "ya29.abcdefgh", "gsk_abcdefgh", "nvapi-abcdefgh", "hvs.abcdefgh",
    "SG.abcdefgh.abcdefgh", "npm_abcdefghijklmnopqrst", "fw_abcdefghijklmnopqrst", "pypi-AgEIcHlwaS5vcmcabcdef",
]  # fmt: skip
KEPT = [
    "Missing key: 'messages'",
    "max_token: 5",
    '{"max_tokens": 5, "prompt_tokens": 7, "token": 9}',
    "token_count=5 completion_token=7",
    'key "foo" is not allowed',
    r'{"detail": "key \"foo\" is not allowed"}',
    "Unknown key: 'gpt2_layer_norm'",
    "JSON: token 'NaN' is not valid",
    "stop_token_ids: token 'abc' is not valid",
    'The token "assistant" is invalid here',
    'bad token "foo" is invalid in grammar',
    "Key: 'ChatCompletionRequest.Messages' Error:Field validation for 'Messages' failed on the 'required' tag",
    "validation failed at key: messages.0.content",
    "invalid key: temperature2",
    "key: model_name_that_is_long_enough is required",
    "missing key: model.layers.0.self_attn.q_proj.weight",
    "Tool 'get_secret': parameter 'api_key' is required",
    "tools.0.function.parameters.properties.password: 'type' is a required property",
    "tools.0.function.parameters.properties.token: 'type' must be string",
    "Tool 'get_token': 'name' is required",
    "tool 'verify_password': 'code' must be string",
    "tool 'set_cookie': 'name' should be of type string",
    "tool 'set_api_key': 'value' has an invalid type",
    "cookie: Field required",
    "cookie: Input should be a valid string",
    "Unexpected token: foo",
    "Unexpected token } in JSON at position 5",
    "token: <|im_end|> pad_token='[PAD]' eos_token: </s>",
    "sort_key=name primary_key: id cache_key=abc123",
    "key: value",
    "first pass: ok",
    "the password is required",
    "password: Field required",
    "password=None, api_key=null",
    "api_key: Input should be a valid string",
    "The secret is out of range",
    "signature: f(x) -> y",
    "use --api-key to set a key, and --max-token 5",
    "authorization is required",
    "Authorization: header is missing",
    "Bearer authentication is required, and Bearer tokens expire.",
    'WWW-Authenticate: Bearer realm="x", error="invalid_token"',
    "basic examples, basic knowledge, basic settings, Basic Authentication, basic classification",
    "hf_hub_download failed, and hf_transfer",
    "num_key_value_heads=8 must divide num_attention_heads",
    "jina_embeddings_v3 and pplx-7b-online and glm-4-9b-chat",
    "KeyError: 'choices'",
    "['x', '--max-token', '5', '--eos-token', '</s>', '--hf-token', '--port']",
    "EOS_TOKEN '</s>' and IMAGE_TOKEN '<image>' and PAD_TOKEN is set to 0",
    "HF_TOKEN is set, and HF_TOKEN is not set",
    "password (required), api key (optional), secret (must be set)",
    "Unexpected token 'foo' is not valid JSON",
    "token <|im_end|> is not valid here",
    "key 'temperature' is invalid",
    "key model.layers.0.weight is not valid, key 'top_p2' is invalid",
    "The token provided is invalid",
    "Invalid API key format. Invalid API key provided. Wrong password length",
    "jwt: invalid signature",
    "mysql -h db -port 3306",
    "",
]


@pytest.mark.parametrize("text", HIDDEN)
def test_credentials_are_hidden_and_nothing_else(text: str) -> None:
    assert without_credentials(text) == HIDDEN[text]
    assert without_credentials(HIDDEN[text]) == HIDDEN[text]


@pytest.mark.parametrize("token", TOKENS)
def test_tokens_are_known_by_what_they_begin_with(token: str) -> None:
    for text in ("invalid {}", "'{}'", "x={},y", "a_{} b"):
        assert without_credentials(text.format(token)) == text.format(REDACTED)


@pytest.mark.parametrize("text", KEPT)
def test_what_only_speaks_of_them_stays(text: str) -> None:
    assert without_credentials(text) == text


def test_no_expression_looks_further_than_a_bound() -> None:
    """So that the work grows with the length of a text, and no faster."""
    patterns = {name: each for name, each in vars(credentials).items() if isinstance(each, re.Pattern)}
    assert len(patterns) > 10
    for name, each in patterns.items():
        assert reach_of(each.pattern, each.flags & re.DOTALL) < 100_000, name
