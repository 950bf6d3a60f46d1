"""Calls of the clients of OpenAI and Anthropic to the port in argument 1, each once; with `openai` in argument 2 without
Anthropic's."""

import sys

import openai

base = f"http://127.0.0.1:{sys.argv[1]}"
chat = [{"role": "system", "content": 'secret-prompt "usage": {"prompt_tokens": 999}'}, {"role": "user", "content": "secret-prompt"}]

client = openai.OpenAI(base_url=base + "/v1", api_key="secret-key", max_retries=0)
done = client.chat.completions.create(model="gpt-remora", messages=chat, max_tokens=50, temperature=0.5, top_p=0.25)
assert done.usage.completion_tokens == 34
stream = client.chat.completions.create(
    model="gpt-stream", messages=chat, stream=True, max_completion_tokens=60, stream_options={"include_usage": True}
)
assert [chunk for chunk in stream][-1].usage.completion_tokens == 34
assert client.responses.create(model="gpt-remora", input="secret-prompt", max_output_tokens=70).usage.output_tokens == 9
assert len(list(client.responses.create(model="gpt-stream", input="secret-prompt", stream=True))) == 3
assert client.embeddings.create(model="embed", input="secret-prompt").usage.prompt_tokens == 3
try:
    client.chat.completions.create(model="broken", messages=chat)
    raise SystemExit("it answered")
except openai.RateLimitError:
    pass

if sys.argv[2:] == ["openai"]:
    sys.exit()

import anthropic

client = anthropic.Anthropic(base_url=base, api_key="secret-key", max_retries=0)
done = client.messages.create(model="claude-remora", max_tokens=80, system="secret-prompt", messages=chat[1:])
assert done.usage.output_tokens == 22
with client.messages.stream(model="claude-stream", max_tokens=90, messages=chat[1:]) as stream:
    assert stream.get_final_message().usage.output_tokens == 15
try:
    client.messages.create(model="broken", max_tokens=100, messages=chat[1:])
    raise SystemExit("it answered")
except anthropic.APIStatusError as error:
    assert error.status_code == 529
