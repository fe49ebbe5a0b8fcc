from gateway.exchange.under_way import MEMORY_S, SUBMIT_S, RequestsUnderWay, UnderWay


def test_a_request_is_surely_at_runpod_a_while_after_it_was_sent_or_once_it_has_output() -> None:
    requests = RequestsUnderWay()
    requests.begin("a", 10.0)
    assert requests.count(9.9) == UnderWay(sure=0, all=0)
    assert requests.count(10.0) == UnderWay(sure=0, all=1)
    assert requests.count(10.0 + SUBMIT_S) == UnderWay(sure=1, all=1)
    requests.output("a", 10.2)
    # What it showed later says nothing of the time before.
    assert requests.count(10.1) == UnderWay(sure=0, all=1)
    assert requests.count(10.2) == UnderWay(sure=1, all=1)


def test_a_request_that_ended_since_was_there_and_may_have_been_over_at_runpod() -> None:
    requests = RequestsUnderWay()
    requests.begin("a", 10.0)
    requests.output("a", 10.1)
    requests.end("a", 20.0)
    requests.output("never begun", 20.0)
    requests.end("never begun", 20.0)
    assert requests.count(19.9) == UnderWay(sure=0, all=1)
    assert requests.count(20.0) == UnderWay(sure=0, all=0)
    requests.begin("b", 30.0)
    requests.end("b", 30.0 + MEMORY_S)
    assert requests.count(19.9) == UnderWay(sure=0, all=0)
