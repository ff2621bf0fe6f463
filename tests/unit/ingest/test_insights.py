"""What a watcher that comes late is told of what was said about the meeting."""

from agent.common.v1 import report_pb2
from agent.ingest.v1 import meeting_service_pb2 as pb
from services.ingest.watching.insights import Insights


def talk(duration_ms: int) -> pb.LiveInsight:
    return pb.LiveInsight(talk=report_pb2.TalkStatistics(duration_ms=duration_ms))


def question(number: int) -> pb.LiveInsight:
    return pb.LiveInsight(question=report_pb2.Claim(claim_id=str(number), text="why?"))


def test_only_the_newest_statistics_stay_and_every_question_once() -> None:
    insights = Insights()
    added = [insights.add(each) for each in (talk(1), question(1), talk(2), question(1), question(2), talk(2))]
    assert added == [True, True, True, False, True, False]
    assert list(insights) == [question(1), talk(2), question(2)]


def test_the_oldest_make_room() -> None:
    insights = Insights()
    for number in range(700):
        insights.add(question(number))
    assert list(insights) == [question(number) for number in range(200, 700)]
