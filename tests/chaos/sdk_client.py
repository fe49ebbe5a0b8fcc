"""OpenAI's own asynchronous client, as users have it, but for its second tries."""

from collections.abc import Mapping

import httpx2
import openai

from tests.chaos.questions import Question
from tests.chaos.verdicts import Ending, Verdict, check_beginning, check_error, check_whole

Clients = Mapping[str, openai.AsyncOpenAI]
"""By tenant."""


async def ask_sdk(clients: Clients, question: Question, *, are_characters_cut: bool = False) -> Verdict:
    """Ask, and judge what came.

    Raises:
        DishonestError: It is neither the answer nor an error.
    """
    parts: list[str] = []
    head = ""
    try:
        answer = await clients[question.tenant].chat.completions.create(**question.body())
        if question.stream:
            async with answer:
                head = _head(answer.response.headers)
                async for chunk in answer:
                    parts += [choice.delta.content or "" for choice in chunk.choices]
        else:
            parts.append(answer.choices[0].message.content or "")
    except openai.APIError as error:
        text = "".join(parts)
        check_beginning(question, text, are_characters_cut=are_characters_cut)
        if isinstance(error, openai.APIStatusError):
            head = _head(error.response.headers)
        around = f"{head}{error!s}{error!r}{error.body!r}"
        if isinstance(error, openai.APIConnectionError):
            return Verdict(question=question, ending=Ending.BROKEN, answer=text, around=around)
        check_error(error.body, head)
        return Verdict(question=question, ending=Ending.FAILED, answer=text, around=around)
    except httpx2.TransportError:
        # The client library lets it through where the connection breaks in the body of an error.
        return Verdict(question=question, ending=Ending.BROKEN, answer="".join(parts), around=head)
    text = "".join(parts)
    check_whole(question, text, are_characters_cut=are_characters_cut)
    return Verdict(question=question, ending=Ending.WHOLE, answer=text, around=head)


def _head(headers: Mapping[str, str]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items())
